"""`keras-vae train` on two processes: what one process gives, also where one of them is killed."""

import csv
import json
import os
import socket
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

from tests.support import ROOT
from tests.support.recipes import RECIPE

CHILD = str(ROOT / "tests/support/launched_child.py")
BACKEND = keras.backend.backend()

pytestmark = pytest.mark.slow


def run(*command):
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "KERAS_BACKEND": BACKEND, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def weights(folder):
    found = {}
    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(lambda name, item: found.update({name: item}))
        # A model that was trained has an optimizer, and one that was built for saving has not.
        return {
            name: item[()]
            for name, item in found.items()
            if isinstance(item, h5py.Dataset) and "optimizer" not in name
        }


def losses(folder):
    with open(folder / "log.csv") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.fixture
def folder(tmp_path):
    """The recipe of a VAE, whose batches of 10 leave 6 digits of 46 for the last one."""
    training = {**RECIPE["training"], "batch_size": 10, "bits": 24, "epochs": 2}
    (tmp_path / "recipe").mkdir()
    recipe = tmp_path / "recipe" / "recipe.json"
    recipe.write_text(json.dumps({**RECIPE, "training": training}))
    return tmp_path


def test_two_processes_of_which_one_is_killed(folder):
    """With the variables of torchrun, and of SLURM."""
    launcher = "torchrun" if BACKEND == "torch" else "SLURM"
    text = run(CHILD, "all", str(folder), launcher, str(free_port()))
    # Once before the kill and once after it, and by one of two processes.
    assert text.count(f"Backend: {BACKEND}, 2 processes") == 2
    assert text.count(f"Wrote {folder / 'two'}.") == 1
    one, two = weights(folder / "one"), weights(folder / "two")
    assert set(one) == set(two)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-6, err_msg=name)
    expected, found = losses(folder / "one"), losses(folder / "two")
    assert [row["epoch"] for row in found] == [0, 1]
    assert expected[1]["loss"] < expected[0]["loss"] - 5
    for a, b in zip(expected, found):
        assert b == pytest.approx(a, rel=1e-5)
