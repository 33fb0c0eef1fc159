"""PyTorch: many training steps in one call. See `keras_vae.training`."""

import keras
import numpy as np
import torch
from torch import distributed

from keras_vae.training import processes, torch_replay


def compile_chunk(model, loop=True):
    several = distributed.is_available() and distributed.is_initialized()
    if getattr(model, "records_calls", True):
        recorded = torch_replay.Recorded(model.train_step)
    else:

        def recorded(arrays, _):
            return model.train_step(arrays)

    def run(resident, rows, whole):
        logs = []
        for batch in torch.split(rows, resident.batch_size):
            arrays = tuple(a[batch] for a in resident.arrays)
            if several or len(batch) < resident.batch_size:
                logs.append(model.train_step(arrays))
            else:
                logs.append(recorded(arrays, resident))
        return ({k: torch.stack([log[k] for log in logs]).cpu().numpy() for k in logs[0]},)

    return run


def rows_of_chunks(n, size, shuffle):
    return {"x": np.arange(n, dtype="int32"), "batch_size": size, "shuffle": shuffle}


def why_no_chunks(model):
    if processes.several():
        return "several processes divide each batch"
    # From Keras 3.16 on it shards each batch, and would shard the row numbers of a chunk.
    if keras.distribution.distribution() is not None:
        return "a `keras.distribution` is set"
    if model.jit_compile:
        return "the model is compiled with `jit_compile`"


def on_accelerator():
    return torch.cuda.is_available()
