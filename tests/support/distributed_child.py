"""Run by test_distribution.py: trains on several devices or processes, saves its weights.

python tests/support/distributed_child.py one|devices OUT
python tests/support/distributed_child.py processes OUT ADDRESS ADDRESS    writes OUT/0.npz, 1.npz
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

BACKEND = os.environ["KERAS_BACKEND"]
BATCH, PROCESSES = 8, 2


def data():
    return (np.random.default_rng(0).random((32, 6)) < 0.5).astype("float32")


def part(x, rank):
    """The rows of every batch that a process trains on."""
    rows = BATCH // PROCESSES
    return x.reshape(-1, PROCESSES, rows, 6)[:, rank].reshape(-1, 6), rows


def build():
    import keras

    from keras_vae import models

    # Without noise, which each device draws for itself.
    model = models.autoencoder((6,), 2, units=(8,), seed=0)
    model.compile(keras.optimizers.Adam(0.01))
    return model


def devices():
    """A model on two devices of this machine."""
    import keras

    if BACKEND == "jax":
        import jax

        assert len(jax.devices()) == 2
        parts(f"{sys.argv[2]}.parts.npz")
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        return build()
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        return build()


def parts(path):
    """Weights of the largest kind of network on one device, and cut up for two, on JAX."""
    import keras

    from keras_vae import models

    x = np.random.default_rng(0).random((4, 8, 8, 3), "float32")

    def trained():
        model = models.autoencoder_kl((8, 8, 3), units=(8,), norm_num_groups=4, seed=0)
        # Not by Adam: the gradient of a bias of the attention is 0, and rounding all it would see.
        model.compile(keras.optimizers.SGD(1e-4))
        losses = model.fit(x, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"]
        return model, losses

    one, losses = trained()
    names = {"keras": keras}
    page = Path(__file__).parents[2] / "keras_vae/training/several_machines.md"
    (block,) = [b for b in page.read_text().split("```python\n") if b.startswith("mesh")]
    exec(block.split("```")[0], names)
    two, other_losses = trained()
    keras.distribution.set_distribution(None)
    divided = [v for v in two.weights if len(v.value.sharding.device_set) == 2]
    divided = [v for v in divided if not v.value.sharding.is_fully_replicated]
    worst = [np.abs(a - b).max() for a, b in zip(one.get_weights(), two.get_weights())]
    np.savez(path, worst=worst, divided=len(divided), losses=[losses, other_losses])


def process(rank, addresses):
    """A model on this process and another, and what this one trains on."""
    x = data()
    if BACKEND == "tensorflow":
        task = {"type": "worker", "index": rank}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        import tensorflow as tf

        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        with strategy.scope():
            return build(), x, BATCH
    if BACKEND == "jax":
        import jax
        import keras

        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        keras.distribution.initialize(addresses[0], PROCESSES, rank)
        parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
        keras.distribution.set_distribution(parallel)
    else:
        import torch

        torch.distributed.init_process_group(
            "gloo", init_method=f"tcp://{addresses[0]}", rank=rank, world_size=PROCESSES
        )
    return build(), *part(x, rank)


def fork(folder, addresses):
    """Two processes, for which imports are paid once."""
    children = []
    for rank in range(PROCESSES):
        child = os.fork()
        if not child:
            # One that waits for the other for ever would keep the pipes open.
            signal.alarm(200)
            return f"{folder}/{rank}.npz", rank
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(map(abs, ended)))


def main():
    how, out, *addresses = sys.argv[1:]
    # First: devices can only be set up as long as nothing has been computed.
    import keras_vae  # noqa: F401

    x, batch_size = data(), BATCH
    if how == "processes":
        out, rank = fork(out, addresses)
        model, x, batch_size = process(rank, addresses)
    else:
        model = devices() if how == "devices" else build()
    history = model.fit(x, batch_size=batch_size, epochs=2, shuffle=False, verbose=0).history
    np.savez(out, *model.get_weights(), loss=history["loss"])


if __name__ == "__main__":
    main()
