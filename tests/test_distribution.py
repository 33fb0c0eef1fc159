"""What the launchers' variables say, and what the processes tell one another."""

import json
import threading

import keras
import numpy as np
import pytest

from keras_vae import callbacks, distribution, models
from keras_vae.training import noise, processes
from tests.support import array

BACKEND = keras.backend.backend()
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "1000"}
JAX = {
    "JAX_PROCESS_ID": "1",
    "JAX_NUM_PROCESSES": "2",
    "JAX_COORDINATOR_ADDRESS": "coordinator:8476",
}
KERAS = {
    "KERAS_DISTRIBUTION_PROCESS_ID": "1",
    "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    "KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:1234,10.0.0.2:2345",
}
SLURM = {
    "SLURM_PROCID": "1",
    "SLURM_NTASKS": "2",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "4097",
    "SLURM_STEP_NODELIST": "node[07-09,12],other",
    "SLURM_STEP_TASKS_PER_NODE": "2(x4),1",
}


def tf_config(task, **cluster):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


WORKERS = ["10.0.0.1:1", "10.0.0.2:2"]
TENSORFLOW = tf_config({"type": "worker", "index": 1}, worker=WORKERS)


@pytest.mark.once
class TestEnvironment:
    @pytest.mark.parametrize(
        "environment, launcher, addresses",
        [
            (JAX, "JAX", ("coordinator:8476",)),
            (KERAS, "Keras", ("10.0.0.1:1234", "10.0.0.2:2345")),
            (TENSORFLOW, "TF_CONFIG", tuple(WORKERS)),
            # JAX makes the same address of the job's number.
            (SLURM, "SLURM", ("node07:61441",)),
            ({**SLURM, "SLURM_STEP_NODELIST": "a1,b[1-2]"}, "SLURM", ("a1:61441",)),
            ({**SLURM, "SLURM_STEP_NODELIST": "host"}, "SLURM", ("host:61441",)),
        ],
    )
    def test_each_launcher_is_understood(self, environment, launcher, addresses):
        found = distribution.from_environment(environment)
        assert found[:2] == (1, 2) and not found.is_first
        assert (found.launcher, found.addresses) == (launcher, addresses)

    @pytest.mark.parametrize("backend, port", [("torch", 1000), ("jax", 1001)])
    def test_beside_torchrun_s_own_agent(self, backend, port, monkeypatch):
        monkeypatch.setattr(keras.backend, "backend", lambda: backend)
        local = {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
        found = distribution.from_environment({**TORCHRUN, **local})
        assert found == (1, 2, 1, 2, (f"10.0.0.1:{port}",), "torchrun")

    def test_a_chief_comes_before_the_workers(self):
        cluster = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
        for task, rank in ((("worker", 1), 2), (("chief", 0), 0)):
            found = tf_config(dict(zip(("type", "index"), task)), **cluster)
            found = distribution.from_environment(found)
            assert found[:2] == (rank, 3) and found.addresses == ("a:1", "b:2", "c:3")

    @pytest.mark.parametrize(
        "environment",
        [
            {},
            {"RANK": "0", "WORLD_SIZE": "1"},
            {"JAX_COORDINATOR_ADDRESS": "a:1"},
            {"TF_CONFIG": "{}"},
            tf_config({"type": "worker", "index": 0}, worker=["a:1"]),
            {**SLURM, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
            # In a script of `sbatch`, outside of `srun`.
            {k: v for k, v in SLURM.items() if "STEP" not in k},
        ],
    )
    def test_one_process_is_none_of_its_business(self, environment, monkeypatch):
        assert distribution.from_environment(environment) == processes.Processes()

    def test_torchrun_inside_of_slurm(self):
        """One task a node, and torchrun's processes in each: its variables count."""
        inside = {**TORCHRUN, "RANK": "7", "WORLD_SIZE": "8", **SLURM}
        assert distribution.from_environment(inside)[:2] == (7, 8)

    @pytest.mark.parametrize(
        "environment, message",
        [
            ({"RANK": "1"}, "WORLD_SIZE is missing.*Received: WORLD_SIZE=None"),
            ({"RANK": "1", "WORLD_SIZE": "2"}, "set MASTER_ADDR and MASTER_PORT, or unset RANK"),
            ({**TORCHRUN, "RANK": "2"}, "RANK must be below WORLD_SIZE.*Received: 2 of 2"),
            ({**TORCHRUN, "WORLD_SIZE": "two"}, "WORLD_SIZE must be a number.*'two'"),
            ({**TORCHRUN, "MASTER_PORT": "http"}, "a host and a port.*MASTER_PORT=http"),
            ({**JAX, "JAX_COORDINATOR_ADDRESS": "a"}, "a host and a port"),
            (
                {**TORCHRUN, **JAX, "JAX_NUM_PROCESSES": "4"},
                "contradict one another.*process 1 of 2 by torchrun; process 1 of 4 by JAX",
            ),
            ({**TENSORFLOW, **KERAS, "KERAS_DISTRIBUTION_PROCESS_ID": "0"}, "contradict"),
            ({"TF_CONFIG": "{"}, "TF_CONFIG must be JSON"),
            ({"TF_CONFIG": "[]"}, "TF_CONFIG must be JSON"),
            (tf_config({"type": "worker", "index": 2}, worker=WORKERS), "2 of 2"),
            (tf_config({"type": "ps", "index": 0}, worker=WORKERS, ps=["c:3"]), "parameter server"),
            ({**SLURM, "SLURM_JOB_ID": "x"}, "SLURM_JOB_ID must be a number"),
        ],
    )
    def test_it_says_what_is_wrong(self, environment, message):
        with pytest.raises(ValueError, match=message):
            distribution.from_environment(environment)

    def test_alone_it_does_nothing(self, monkeypatch):
        for name in {**TORCHRUN, **JAX, **KERAS, **SLURM, **TENSORFLOW}:
            monkeypatch.delenv(name, raising=False)
        with distribution.alone():
            assert distribution.start() == distribution.current() == processes.Processes()
        distribution.stop()
        assert processes.of_first(lambda: {"a": 1}) == {"a": 1}


@pytest.mark.once
class TestShares:
    def parts(self, rows, batch_size, size, replicas=None, **options):
        """The rows of each batch, for each process."""
        found = []
        for rank in range(size):
            x = np.arange(rows, dtype="float32")
            source = callbacks.Shuffled(x, batch_size=batch_size, **options)
            source.shares = processes.Shares(rank, size, replicas or size)
            found.append([source[i][0] for i in range(len(source))])
        return found

    @pytest.mark.parametrize("seed", [3, None])
    def test_together_the_parts_are_the_batches_of_one(self, seed):
        (whole,) = self.parts(46, 10, 1, seed=seed)
        parts = self.parts(46, 10, 2, seed=seed)
        for batch, *halves in zip(whole, *parts, strict=True):
            assert [len(half) for half in halves] == [len(batch) // 2] * 2
            np.testing.assert_array_equal(np.concatenate(halves), batch)
        assert (np.concatenate(whole) == np.arange(46)).all() == (seed is None)

    @pytest.mark.parametrize("rows, left", [(43, 42), (41, 40), (2, 2)])
    def test_rows_that_cannot_be_divided_are_left_out(self, rows, left):
        parts = self.parts(rows, 10, 2, seed=0)
        assert sum(len(batch) for part in parts for batch in part) == left
        assert all(len(batch) for part in parts for batch in part)

    def test_a_strategy_gets_whole_batches(self):
        (batches,) = self.parts(43, 8, 1, replicas=4, seed=0)
        assert [len(batch) for batch in batches] == [8] * 5

    @pytest.mark.parametrize("rows, batch_size", [(20, 5), (1, 4)])
    def test_what_cannot_be_divided_at_all(self, rows, batch_size):
        source = callbacks.Shuffled(np.zeros(rows), batch_size=batch_size)
        source.check()
        source.shares = processes.Shares(0, 2, 2)
        with pytest.raises(ValueError, match=f"multiple.*Received: batch_size={batch_size}"):
            source.check()


@pytest.mark.skipif(BACKEND == "jax", reason="A step on JAX sees the whole batch")
@pytest.mark.parametrize("rows", [0, 1])
def test_each_process_draws_its_part_of_the_noise(rows, monkeypatch):
    whole = array(noise.normal((6, 8), 3))
    parts = []
    for rank in range(2):
        monkeypatch.setattr(noise, "_part", lambda rank=rank: (rank, 2))
        parts.append(array(noise.normal((3, 8) if rows == 0 else (6, 4), 3, rows)))
        assert (array(noise.normal((6, 8), 3)) == whole).all(), "what is common to all rows"
    np.testing.assert_array_equal(np.concatenate(parts, axis=rows), whole)


@pytest.fixture
def second_of_two(monkeypatch):
    """This process as the second of two, which hears what it would say itself."""
    monkeypatch.setattr(processes, "_now", processes.Processes(1, 2))
    monkeypatch.setattr(processes, "of_first", lambda make: make())
    monkeypatch.setattr(processes.backend, "replicas", lambda: 2)


@pytest.mark.skipif(BACKEND != "torch", reason="The other backends' steps need both processes")
class TestFit:
    def test_only_the_first_process_prints_and_writes(self, second_of_two, tmp_path, capsys):
        model = models.autoencoder((6,), 2, units=(4,), seed=0)
        files = [
            keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
            keras.callbacks.ModelCheckpoint(str(tmp_path / "m.weights.h5"), save_weights_only=True),
            callbacks.Resume(tmp_path / "state"),
        ]
        x = np.random.default_rng(0).random((12, 6), "float32")
        model.fit(x, validation_data=x, batch_size=4, epochs=2, callbacks=files)
        assert not list(tmp_path.iterdir()) and not capsys.readouterr().out
        assert int(keras.ops.convert_to_numpy(model.step)) == 6

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"batch_size": 3}, "multiple of their number"),
            ({"callbacks": [keras.callbacks.BackupAndRestore("x")]}, "use `callbacks.Resume`"),
            ({"fast": True}, "several processes divide each batch"),
        ],
    )
    def test_what_cannot_be_divided_is_refused(self, second_of_two, options, message):
        model = models.autoencoder((6,), 2, units=(4,), seed=0)
        with pytest.raises(ValueError, match=f"{message}.*Received"):
            model.fit(np.zeros((8, 6), "float32"), verbose=0, **options)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="Only TensorFlow needs all addresses")
class TestExchange:
    def exchanged(self, size, wanted):
        import socket

        from keras_vae.training.tensorflow_processes import exchanged

        with socket.create_server(("127.0.0.1", 0)) as free:
            first = f"127.0.0.1:{free.getsockname()[1]}"
        found = {}
        threads = [
            threading.Thread(target=lambda r=r: found.update({r: exchanged(r, size, first)}))
            for r in range(1, wanted)
        ]
        for thread in threads:
            thread.start()
        found[0] = exchanged(0, size, first)
        for thread in threads:
            thread.join()
        return found

    def test_all_hear_of_all(self):
        found = self.exchanged(3, 3)
        assert found[0] == found[1] == found[2] and len(set(found[0])) == 3
        assert all(address.startswith("127.0.0.1:") for address in found[0])

    def test_one_that_does_not_come(self, monkeypatch):
        from keras_vae.training import tensorflow_processes

        monkeypatch.setattr(tensorflow_processes, "SECONDS", 0.2)
        with pytest.raises(ConnectionError, match="start 2 of them.*nothing from process 1"):
            self.exchanged(2, 1)
