"""TensorFlow: `MultiWorkerMirroredStrategy`. See `keras_vae.training.processes`."""

import contextlib
import functools
import json
import socket
import time

import numpy as np
import tensorflow as tf

# The strategy cuts up data sets: each process is to give the whole batch. Which part of it a
# step sees depends on the device, see `noise`.
reads_own_rows, draws_own_noise = False, False

# Until all processes have been started.
SECONDS = 300


def begin(processes):
    gpus = tf.config.list_physical_devices("GPU")
    if processes.local_size > 1 and len(gpus) > 1:
        own = gpus[processes.local_rank % len(gpus)]
        tf.config.set_visible_devices(own, "GPU")
    addresses = processes.addresses
    if len(addresses) < processes.size:
        addresses = exchanged(processes.rank, processes.size, addresses[0])
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(addresses)}),
        task_type="worker",
        task_id=processes.rank,
        rpc_layer="grpc",
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    tf.distribute.experimental_set_strategy(strategy)


@contextlib.contextmanager
def alone():
    strategy = tf.distribute.get_strategy()
    tf.distribute.experimental_set_strategy(None)
    try:
        yield
    finally:
        tf.distribute.experimental_set_strategy(strategy)


def end():
    tf.distribute.experimental_set_strategy(None)


def broadcast(data):
    total = _total(tf.distribute.get_strategy())
    size = int(total(np.array([len(data)], "int32"))[0])
    content = np.frombuffer(data, "uint8") if data else np.zeros(size, "uint8")
    return total(content.astype("int32")).numpy().astype("uint8").tobytes()


@functools.cache
def _total(strategy):
    """A function of int32 vectors, of which it returns the first process's."""

    def part(value):
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return tf.where(tf.equal(number, 0), value, tf.zeros_like(value))

    @tf.function(input_signature=[tf.TensorSpec([None], "int32")])
    def total(value):
        return strategy.reduce("SUM", strategy.run(part, (value,)), axis=None)

    return total


def source(batches):
    """A `tf.data.Dataset`; of a `PyDataset` Keras 3.15 has one with None, which are not divided."""
    first = batches[0]
    signature = tuple(tf.TensorSpec((None, *a.shape[1:]), a.dtype) for a in first)

    def generate():
        for i in range(len(batches)):
            yield batches[i]

    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    known = tf.data.experimental.assert_cardinality(len(batches))
    return dataset.apply(known).with_options(options)


def replicas():
    return tf.distribute.get_strategy().num_replicas_in_sync


def exchanged(rank, size, first):
    """Addresses of all processes, where each knows that of the first: TensorFlow wants them all.

    Args:
        rank, size: of this process.
        first: "host:port" where the first process listens.

    Returns:
        "host:port" of each, at ports that were free.

    Raises:
        ConnectionError: not all processes came within `SECONDS`.
    """
    host, port = first.rsplit(":", 1)
    with socket.create_server(("", 0)) as free:
        own = free.getsockname()[1]
    if rank:
        with _connected(host, int(port)) as line, line.makefile("rw") as file:
            print(json.dumps([rank, own]), file=file, flush=True)
            return json.loads(file.readline())
    found, files = {0: f"{host}:{own}"}, []
    with socket.create_server(("", int(port)), backlog=size) as server:
        server.settimeout(SECONDS)
        while len(found) < size:
            try:
                line, (peer, *_) = server.accept()
            except TimeoutError:
                missing = sorted(set(range(size)) - set(found))
                raise ConnectionError(
                    f"Not all processes came to {first} within {SECONDS} s: start {size} of them. "
                    f"Received: nothing from process {', '.join(map(str, missing))}"
                ) from None
            with line:
                files.append(line.makefile("rw"))
            number, port = json.loads(files[-1].readline())
            found[number] = f"{peer}:{port}"
    addresses = [found[i] for i in range(size)]
    for file in files:
        with file:
            print(json.dumps(addresses), file=file, flush=True)
    return addresses


def _connected(host, port):
    until = time.monotonic() + SECONDS
    while True:
        try:
            return socket.create_connection((host, port), timeout=SECONDS)
        except OSError as error:
            if time.monotonic() > until:
                raise ConnectionError(
                    f"The first process does not answer within {SECONDS} s. "
                    f"Received: {error} of {host}:{port}"
                ) from error
            time.sleep(0.2)
