"""Training on two devices, or two processes, gives the weights of one."""

import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.support import ROOT

CHILD = ROOT / "tests/support/distributed_child.py"
BACKEND = keras.backend.backend()

pytestmark = pytest.mark.slow


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": BACKEND, **environment},
        cwd=CHILD.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(child):
    text, _ = child.communicate(timeout=300)
    assert child.returncode == 0, text[-3000:]


def read(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """Weights and losses of one device."""
    path = tmp_path_factory.mktemp("one") / "one.npz"
    finish(start("one", path))
    saved = read(path)
    assert saved["loss"][1] < saved["loss"][0] - 0.01, "nothing was trained"
    return saved


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def compare(saved, expected, atol=1e-6):
    for name, value in expected.items():
        if name != "loss":
            np.testing.assert_allclose(saved[name], value, atol=atol)
    moved = [np.abs(value).max() for value in expected.values()]
    assert max(moved) > 1e-2


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch has one device a process")
def test_two_devices_of_one_machine(one, tmp_path):
    flag = "--xla_force_host_platform_device_count=2"
    finish(start("devices", tmp_path / "two.npz", XLA_FLAGS=flag))
    two = read(tmp_path / "two.npz")
    compare(two, one)
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-5)
    if BACKEND == "jax":
        # The network of latent diffusion, its weights divided between the devices.
        parts = read(tmp_path / "two.npz.parts.npz")
        assert parts["divided"] > 15 and parts["losses"][0, 1] < parts["losses"][0, 0] - 1
        assert parts["worst"].max() < 1e-5
        np.testing.assert_allclose(*parts["losses"], rtol=1e-5)


def test_two_processes(one, tmp_path):
    """Over the loopback interface, as over a network."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    finish(start("processes", tmp_path, *addresses))
    first, second = (read(tmp_path / f"{rank}.npz") for rank in range(2))
    for name in first:
        if name != "loss":
            np.testing.assert_array_equal(first[name], second[name])
    compare(first, one)
    for saved in (first, second):
        np.testing.assert_allclose(saved["loss"], one["loss"], rtol=1e-5)
