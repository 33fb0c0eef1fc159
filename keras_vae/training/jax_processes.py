"""JAX: its coordination service, and Keras' `DataParallel`. See `keras_vae.training.processes`."""

import contextlib
import os

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils

reads_own_rows, draws_own_noise = True, False


def begin(processes):
    if not jax.distributed.is_initialized():
        # Of the devices of a CPU; GPUs and TPUs have their own.
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        # Some launchers show each process its own GPU only.
        all_gpus = "," in os.environ.get("CUDA_VISIBLE_DEVICES", ",")
        if processes.local_size > 1 and all_gpus:
            os.environ.setdefault("JAX_LOCAL_DEVICE_IDS", str(processes.local_rank))
        keras.distribution.initialize(processes.addresses[0], processes.size, processes.rank)
    parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)


@contextlib.contextmanager
def alone():
    parallel = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(parallel)


def end():
    keras.distribution.set_distribution(None)
    # Waits for the others; else those that end first would wait for the last.
    jax.distributed.shutdown()


def broadcast(data):
    size = int(multihost_utils.broadcast_one_to_all(np.array(len(data), "int32")))
    content = np.frombuffer(data, "uint8") if data else np.zeros(size, "uint8")
    return np.asarray(multihost_utils.broadcast_one_to_all(content)).tobytes()


def source(batches):
    return batches


def replicas():
    return jax.device_count()
