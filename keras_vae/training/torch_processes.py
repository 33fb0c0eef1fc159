"""PyTorch: a process group. See `keras_vae.training.processes`."""

import contextlib

import torch
from torch import distributed

reads_own_rows, draws_own_noise = True, True


def begin(processes):
    if torch.cuda.is_available():
        torch.cuda.set_device(processes.local_rank % torch.cuda.device_count())
    if distributed.is_initialized():
        return
    # torchrun's own agent listens at the address, and PyTorch knows how to reach it.
    own = processes.launcher == "torchrun"
    method = None if own else f"tcp://{processes.addresses[0]}"
    # Without a name: gloo for tensors of the CPU, and nccl for those of GPUs.
    distributed.init_process_group(
        init_method=method, rank=processes.rank, world_size=processes.size
    )


alone = contextlib.nullcontext


def end():
    distributed.destroy_process_group()


def broadcast(data):
    size = torch.tensor([len(data)])
    distributed.broadcast(size, 0)
    content = torch.zeros(int(size), dtype=torch.uint8)
    if data:
        content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    distributed.broadcast(content, 0)
    return content.numpy().tobytes()


def source(batches):
    return batches


def replicas():
    return distributed.get_world_size()


def average(gradients):
    """Means over the processes, each of which trains on its own rows: one call per dtype."""
    known = [g for g in gradients if g is not None]
    for dtype in {g.dtype for g in known}:
        alike = [g for g in known if g.dtype == dtype]
        flat = torch.cat([g.reshape(-1) for g in alike])
        distributed.all_reduce(flat)
        flat /= distributed.get_world_size()
        for gradient, mean in zip(alike, flat.split([g.numel() for g in alike]), strict=True):
            gradient.copy_(mean.view(gradient.shape))


def sums(tensors):
    """Sums over the processes, in float64: sums of losses and the numbers that divide them."""
    flat = torch.cat([t.detach().reshape(-1).double() for t in tensors])
    distributed.all_reduce(flat)
    parts = flat.split([t.numel() for t in tensors])
    return [p.view(t.shape).to(t.dtype) for p, t in zip(parts, tensors, strict=True)]
