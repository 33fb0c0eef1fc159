"""Shared by tests: folders of diffusers with a tiny autoencoder, and ways to write their files."""

import json

import numpy as np

from keras_vae import zoo
from tools.checks import fuzz_diffusers

CONFIG = fuzz_diffusers.CONFIG
tensors = fuzz_diffusers.tensors


def header_of(path):
    """The header of a file of safetensors, and the bytes of its arrays."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(path, header, data):
    """Writes a file of safetensors with any header: a dict, or bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def folder(path, config=CONFIG, name="diffusion_pytorch_model.safetensors"):
    """A folder with a configuration and weights."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    zoo.safetensors.write(path / name, tensors())
    return path


def same_arrays(first, second):
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
