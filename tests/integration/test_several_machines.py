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
    end = "\nassert result.metrics['processes'] == 2, result.metrics\nprint(result.metrics['loss'])"
    done = subprocess.run(
        [sys.executable, "-c", start + block("TorchTrainer") + end],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # Two epochs of 6 numbers from 0 to 1 under Bernoulli: not far from 6 log 2, and a KL.
    assert 3.5 < float(done.stdout.splitlines()[-1]) < 6
