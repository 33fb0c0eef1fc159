"""`demo`: a newcomer's first minute, in pictures."""

from pathlib import Path

import keras
import numpy as np

from keras_vae import plots, zoo


def digits():
    """A small labelled sample of MNIST's test set, kept with the code.

    Returns:
        `(x, y)`: `(n, 28, 28, 1)` float32 in [0, 1] and `(n,)` int32.
    """
    with np.load(Path(__file__).parent / "digits.npz") as file:
        return file["x"].astype("float32")[..., None] / 255.0, file["y"].astype("int32")


def demo(out):
    """Loads `mnist_conv`, draws pictures, fine-tunes it and draws again.

    Args:
        out: folder for the pictures and the fine-tuned model.
    """
    x, y = digits()
    print(f"Keras runs on {keras.backend.backend()}.")
    model = zoo.load("mnist_conv")
    print(zoo.info("mnist_conv"))

    plots.samples(model, seed=0, path=out / "samples.png")
    plots.reconstructions(model, x[:10], path=out / "reconstructions.png")
    first = [int(np.flatnonzero(y == k)[0]) for k in range(8)]
    plots.interpolation(model, x[first[:4]], x[first[4:]], path=out / "interpolation.png")

    # White paper, black ink: pictures that the model has never seen.
    inverted = 1.0 - x
    before = model.evaluate(inverted, verbose=0, return_dict=True)["loss"]
    print("Fine-tuning on inverted digits:")
    model.fit(inverted, epochs=10, batch_size=32)
    after = model.evaluate(inverted, verbose=0, return_dict=True)["loss"]
    print(f"Loss on inverted digits: {before:.0f} nats before, {after:.0f} after.")
    plots.reconstructions(model, inverted[:10], path=out / "fine_tuned_reconstructions.png")
    zoo.save(model, out / "fine_tuned", {"description": "mnist_conv on inverted digits."})
    print(f"Look at the pictures in {out}/; the fine-tuned model loads with")
    print(f'    keras_vae.zoo.load("{out}/fine_tuned")')
