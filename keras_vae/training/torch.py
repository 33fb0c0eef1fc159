"""PyTorch: autograd, eager."""

import keras
import numpy as np
import torch
from torch import distributed
from torch.optim.adam import adam as native_adam

from keras_vae.training import adam, torch_replay


def _average(gradients):
    """Means over the processes, each of which trains on its own part of the data."""
    for gradient in gradients:
        if gradient is not None:
            distributed.all_reduce(gradient)
            gradient /= distributed.get_world_size()


class TrainStep:
    """See `keras_vae.training`."""

    def train_step(self, data):
        return self.update(*keras.utils.unpack_x_y_sample_weight(data))

    def compile_chunk(self, loop=True):
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        several = distributed.is_available() and distributed.is_initialized()
        recorded = _Recorded(self.train_step)

        def run(resident, rows, whole):
            logs = []
            for batch in torch.split(rows, resident.batch_size):
                arrays = tuple(a[batch] for a in resident.arrays)
                if several or len(batch) < resident.batch_size:
                    logs.append(self.train_step(arrays))
                else:
                    logs.append(recorded(arrays, resident))
            return ({k: torch.stack([log[k] for log in logs]).cpu().numpy() for k in logs[0]},)

        return run

    def rows_of_chunks(self, n, size, shuffle):
        return {"x": np.arange(n, dtype="int32"), "batch_size": size, "shuffle": shuffle}

    def why_no_chunks(self):
        if self.jit_compile:
            return "the model is compiled with `jit_compile`"

    def on_accelerator(self):
        return torch.cuda.is_available()

    def test_step(self, data):
        return self.assess(*keras.utils.unpack_x_y_sample_weight(data))

    def minimize(self, fn, optimizer, variables):
        loss, aux = fn()
        gradients = torch.autograd.grad(
            optimizer.scale_loss(loss),
            [v.value for v in variables],
            allow_unused=True,
        )
        if distributed.is_available() and distributed.is_initialized():
            _average(gradients)
        with torch.no_grad():
            if _is_plain_adam(optimizer, gradients, variables):
                _fused_adam(optimizer, gradients, variables)
            else:
                optimizer.apply(gradients, variables)
        return loss, aux

    def vector_jacobian(self, fn, x, vectors):
        # Outside training there is no second derivative to be had, nor its memory wanted.
        second = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (product,) = torch.autograd.grad(fn(x), x, vectors, create_graph=second)
        return product

    def compile_function(self, fn):
        recorded = {}

        def step(arrays):
            found = fn(*arrays)
            several = isinstance(found, (tuple, list))
            return dict(enumerate(found)) if several else {"alone": found}

        def call(*arrays):
            arrays = tuple(map(keras.ops.convert_to_tensor, arrays))
            # What is written down holds for arrays that lie in memory as those did.
            kind = tuple((a.shape, a.stride(), a.dtype, a.device) for a in arrays)
            with torch.no_grad():
                found = recorded.setdefault(kind, _Recorded(step))(arrays)
            return found["alone"] if "alone" in found else tuple(found.values())

        return call


class _Recorded:
    """Steps on arrays of one shape: one is recorded, the next is the test of it.

    Each `fit` begins with that test, as anything may have been changed since the last.
    """

    def __init__(self, step):
        self.step, self.fit, self.replay = step, None, None
        self.to_record = self.to_test = False

    def __call__(self, arrays, fit="inference"):
        if self.fit is not fit:
            self.fit, self.to_record, self.to_test = fit, True, self.replay is not None
        if self.to_test:
            self.to_test = False
            logs, same = self.replay.agrees(self.step, arrays)
            self.to_record = self.to_record and not same
            self.replay = self.replay if same else None
            return logs
        if self.to_record:
            self.to_record = False
            logs, self.replay = torch_replay.record(self.step, arrays)
            self.to_test = self.replay is not None
            return logs
        return self.step(arrays) if self.replay is None else self.replay(arrays)


def _is_plain_adam(optimizer, gradients, variables):
    """Whether PyTorch's own Adam does the same; with anything more Keras' does it."""
    return (
        adam.is_plain(optimizer, variables)
        and all(g is not None for g in gradients)
        and all(v.value.is_contiguous() for v in variables)
    )


def _fused_adam(optimizer, gradients, variables):
    """Keras' Adam in one pass over its slots, where Keras makes eight, which allocate."""
    first, second = adam.slots(optimizer, variables)
    step = optimizer.iterations.value + 1
    one, two = (1 - torch.pow(beta, step) for beta in (optimizer.beta_1, optimizer.beta_2))
    native_adam(
        [v.value for v in variables],
        # The kernel pairs numbers as they lie in memory; a convolution's lie in another order.
        [g.contiguous() for g in gradients],
        [v.value for v in first],
        [v.value for v in second],
        [],
        # So late that PyTorch corrects no bias: it would add epsilon to another number.
        [torch.full((), 1e9, device=step.device)] * len(variables),
        fused=True,
        amsgrad=False,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        lr=keras.ops.convert_to_tensor(optimizer.learning_rate) * torch.sqrt(two) / one,
        weight_decay=0.0,
        eps=optimizer.epsilon,
        maximize=False,
    )
    optimizer.iterations.assign_add(1)
