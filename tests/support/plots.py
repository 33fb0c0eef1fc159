"""Shared by the tests of plots."""

import types

import numpy as np

SIZE = 4


class FakeModel:
    """The first pixels hold the code, as (z + 3) / 6, the last one the condition."""

    def __init__(self, latent_dim=2, condition=None):
        self.latent_dim = latent_dim
        self.condition = condition
        self.takes_labels = getattr(condition, "num_classes", None) is not None
        self.calls = []

    def encode(self, x, condition=None, batch_size=None):
        self.calls.append(("encode", condition))
        return x.reshape(len(x), -1)[:, : self.latent_dim] * 6 - 3

    def decode(self, z, condition=None, batch_size=None):
        self.calls.append(("decode", z, condition))
        images = np.zeros((len(z), SIZE * SIZE), "float32")
        images[:, : self.latent_dim] = (z + 3) / 6
        if condition is not None:
            images[:, -1] = np.asarray(condition).reshape(len(z), -1)[:, 0] / 10
        return images.reshape(-1, SIZE, SIZE, 1)

    def reconstruct(self, x, condition=None, batch_size=None):
        self.calls.append(("reconstruct", condition))
        return 1 - x

    def sample(self, n, condition=None, seed=0, batch_size=None):
        self.calls.append(("sample", n, condition, seed))
        return self.decode(
            np.random.default_rng(seed).uniform(-3, 3, (n, self.latent_dim)), condition
        )

    def interpolate(self, x_a, x_b, steps=8, condition=None, batch_size=None):
        self.calls.append(("interpolate", condition))
        shares = np.linspace(0, 1, steps)[:, None]
        codes = [(1 - shares) * a + shares * b for a, b in zip(self.encode(x_a), self.encode(x_b))]
        return np.stack([self.decode(z) for z in codes])

    def traverse(self, x, dim, values, condition=None, batch_size=None):
        self.calls.append(("traverse", x, dim, values, condition))
        codes = np.repeat(self.encode(x)[:, None], len(values), axis=1)
        codes[:, :, dim] = values
        return np.stack([self.decode(z) for z in codes])

    def edit(self, x, condition=None, *, strength=1.0, keep="decoded", **changes):
        self.calls.append(("edit", condition, changes))
        return self.reconstruct(x) * (1 - 0.5 * strength)

    def called(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


class FakeCodes:
    """Codes 2 × 2: each the quarter's first pixel, of 5 grey levels."""

    codebook = np.arange(10.0).reshape(5, 2)

    def encode(self, x, condition=None, batch_size=None):
        return (x[:, ::2, ::2, 0] * 4).astype("int32")

    def decode(self, z, condition=None, batch_size=None):
        return np.repeat(np.repeat(z[..., None] / 4, 2, axis=1), 2, axis=2).astype("float32")


def labelled(classes=10):
    return types.SimpleNamespace(num_classes=classes, dim=classes, names=None)


def random_images(n, channels=1, seed=0, size=SIZE):
    return np.random.default_rng(seed).random((n, size, size, channels), dtype="float32")


def sheet(figure):
    (axes,) = figure.axes
    (picture,) = axes.images
    return np.asarray(picture.get_array())


def texts(tick_labels):
    return [text.get_text() for text in tick_labels]


def ticks(figure):
    (axes,) = figure.axes
    return texts(axes.get_yticklabels()), texts(axes.get_xticklabels())
