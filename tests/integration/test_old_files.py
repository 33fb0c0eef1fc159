"""Files that were written before the modules of the classes moved load to the same models.

They name modules that no longer exist, such as `keras_vae.learned_priors`: Keras finds a class
by its registered name. Written by version 0.1 on PyTorch; a file here is never written again.
"""

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vae  # noqa: F401 (registers the classes)

FOLDER = Path(__file__).parents[1] / "support" / "old_files"
NAMES = sorted(path.stem for path in FOLDER.glob("*.keras"))


@pytest.mark.parametrize("name", NAMES)
def test_an_old_file_loads_to_the_same_model(name):
    model = keras.saving.load_model(FOLDER / f"{name}.keras")
    with np.load(FOLDER / "expected.npz") as expected:
        x, y = expected[f"{name}.x"], expected.get(f"{name}.y")
        reconstruction = expected[f"{name}.reconstruction"]
    # Another backend rounds other sums: a few units in the last place of float32.
    np.testing.assert_allclose(model.reconstruct(x, y), reconstruction, rtol=1e-5, atol=1e-6)


def test_the_files_name_modules_that_are_gone():
    text = b"".join((FOLDER / f"{name}.keras").read_bytes() for name in NAMES)
    assert b"keras_vae.learned_priors" in text and b"keras_vae.hierarchy" in text
