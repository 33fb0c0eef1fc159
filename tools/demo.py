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


def bold(x):
    """Pictures drawn with a thicker pen: every pixel as bright as the brightest beside it."""
    around = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    places = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    shifted = [around[:, i : i + x.shape[1], j : j + x.shape[2]] for i, j in places]
    return np.max(shifted, axis=0)


def demo(out):
    """Loads `mnist_conv`, draws pictures, fine-tunes it on bold digits and draws again.

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

    # A thicker pen than the model has ever seen. It is measured on digits that it is not tuned on.
    train, held_out = bold(x[:-100]), bold(x[-100:])
    before = model.evaluate(held_out, verbose=0, return_dict=True)["loss"]
    print(f"Fine-tuning on {len(train)} digits in bold:")
    model.fit(train, epochs=12, batch_size=32)
    after = model.evaluate(held_out, verbose=0, return_dict=True)["loss"]
    print(
        f"Loss on {len(held_out)} other bold digits: {before:.0f} nats before, {after:.0f} after."
    )
    plots.reconstructions(model, held_out[::10], path=out / "fine_tuned_reconstructions.png")
    # The same codes as those of samples.png.
    plots.samples(model, seed=0, path=out / "fine_tuned_samples.png")
    zoo.save(model, out / "fine_tuned", {"description": "mnist_conv on bold digits."})
    print(f"Look at {out}/samples.png and {out}/fine_tuned_samples.png: the same codes, in bold.")
    print("The fine-tuned model loads with")
    print(f'    keras_vae.zoo.load("{out}/fine_tuned")')
