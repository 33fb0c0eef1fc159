"""The blocks of `keras_vae/training/several_machines.md`."""

import importlib.util
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_vae import distribution
from tests.support import ROOT, make_images

PAGE = ROOT / "keras_vae" / "training" / "several_machines.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def block(word):
    (found,) = [block for block in BLOCKS if word in block]
    return found


@pytest.mark.turns
def test_the_script_runs_as_one_process(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    np.save("digits.npy", make_images(rng, 64, (28, 28, 1)))
    names = {}
    exec(compile(block("model.save"), str(PAGE), "exec"), names)
    assert names["processes"] == distribution.current() and names["processes"].size == 1
    loaded = keras.models.load_model("model.keras")
    np.testing.assert_allclose(loaded.encode(names["x"]), names["model"].encode(names["x"]))
    assert int(keras.ops.convert_to_numpy(loaded.step)) == 4


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray[train]")
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the block is for PyTorch")
def test_two_workers_of_ray(tmp_path):
    """In a process of its own, which ends all that Ray starts."""
    start = "import ray\nray.init(num_cpus=2, include_dashboard=False)\n"
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # A machine with other work takes longer than half a minute to start two workers.
    settings = {"RAY_DEDUP_LOGS": "0", "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "400"}
    done = subprocess.run(
        [sys.executable, "-c", start + block("TorchTrainer")],
        env={**os.environ, "PYTHONPATH": paths, "KERAS_BACKEND": "torch", **settings},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    losses = reported(done.stdout)
    # The mean over both, of 6 numbers from 0 to 1 under Bernoulli: about 6 log 2, and a KL.
    assert len(losses) == 2 and losses[0] == losses[1] and 3.5 < losses[0] < 6


def reported(text):
    """The losses that Ray's workers report, where each was one of two processes."""
    return [float(loss) for loss in re.findall(r"'loss': ([\d.]+), 'processes': 2\}", text)]
