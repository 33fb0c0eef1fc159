"""What codes are good for: compression, labels, anomalies, denoising. See `applications`.

Each function measures one use on a split that nothing was trained or tuned on, draws a
picture of it and returns what it found as entries, `(title, value, options)`.
"""

import keras
import numpy as np

from keras_vae import datasets, likelihoods, metrics, models, plots, zoo

from ..presets import recipes
from .outliers import outliers
from .synthetic import synthetic

__all__ = ["anomalies", "classification", "compression", "denoising", "outliers", "synthetic"]


def compression(split, limit, seed, folder, sizes=(8, 32), epochs=20, data="mnist"):
    """A linear autoencoder against principal components, at equal numbers of each code.

    Baldi & Hornik, "Neural Networks and Principal Component Analysis", 1989: the best
    linear autoencoder spans the same plane, so that both err alike. The autoencoder
    starts from random weights (and the mean of the data) and is trained like any other.
    """
    x, _ = datasets.load(data, "train", limit=limit)
    held_out, _ = datasets.load(data, split, limit=limit)
    found, rows, labels = [], [held_out[:10]], ["data"]
    for size in sizes:
        by_svd = project(held_out, *principal_components(x, size))
        by_model = linear_autoencoder(x, size, epochs, seed).reconstruct(held_out)
        errors = [np.square(held_out - y).mean(dtype="float64") for y in (by_svd, by_model)]
        how = {"unit": "a pixel", "digits": 5}
        found += [
            (f"MSE of {size} principal components", errors[0], how),
            (
                f"MSE of a linear autoencoder of {size}",
                errors[1],
                {**how, "how": f"{epochs} epochs, "},
            ),
            (
                f"linear autoencoder over principal components, {size}",
                100 * (errors[1] / errors[0] - 1),
                {"unit": "% more error"},
            ),
        ]
        rows += [by_svd[:10], by_model[:10]]
        labels += [f"PCA {size}", f"model {size}"]
    _grid(rows, labels, folder, "compression.png")
    return found


def principal_components(x, size):
    """Mean `(...)` of data and its first `size` principal directions `(size, ...)`."""
    flat = np.reshape(x, (len(x), -1)).astype("float64")
    mean = flat.mean(axis=0)
    # Singular vectors of the covariance are those of the data, and it is smaller.
    _, _, directions = np.linalg.svd(flat.T @ flat / len(flat) - np.outer(mean, mean))
    return mean.reshape(x.shape[1:]), directions[:size].reshape(size, *x.shape[1:])


def project(x, mean, directions):
    """Data on the plane through the mean that the directions span."""
    flat = np.reshape(x - mean, (len(x), -1))
    plane = directions.reshape(len(directions), -1)
    return ((flat @ plane.T) @ plane).reshape(x.shape) + mean


def linear_autoencoder(x, size, epochs, seed, batch_size=100, learning_rate=2e-3):
    """An autoencoder of one linear layer each way, trained on ‖x - x̂‖²."""
    model = models.autoencoder(
        x.shape[1:],
        size,
        units=(),
        likelihood=likelihoods.Normal(0.5, data_range=None),
        seed=seed,
    )
    mean = x.mean(axis=0, dtype="float64").ravel()
    kernel, _ = model.posterior_layer.get_weights()
    model.posterior_layer.set_weights([kernel, -mean @ kernel])
    model.decoder.set_weights([model.decoder.get_weights()[0], mean])
    _fit(model, x, epochs, batch_size, learning_rate, seed)
    return model


def classification(split, limit, seed, folder, presets=(), neighbours=5):
    """Labels of a split by the nearest training examples: in pixels, and in codes.

    Of every preset of MNIST by default but those whose codes are made with the label.
    """
    found, drawn, data = [], [], None
    for name in presets or _unlabelled("mnist"):
        model, recipe = zoo.load(name), recipes.read(zoo.folder(name))
        if not datasets.info(recipe["data"]).classes:
            raise ValueError(f"Only data with labels can be classified. Received: preset={name!r}")
        if recipe["data"] != data:
            data = recipe["data"]
            x, y = datasets.load(data, "train", limit=limit)
            held_out, labels = datasets.load(data, split, limit=limit)
            pixels = [np.reshape(a, (len(a), -1)) for a in (x, held_out)]
            found.append(_accuracy(f"pixels of {data}", *pixels, y, labels, neighbours))
        codes = [codes_of(model, a) for a in (x, held_out)]
        found.append(_accuracy(f"codes of {name}", *codes, y, labels, neighbours))
        if not drawn:
            near = [np.square(codes[0] - query).sum(axis=1) for query in codes[1][:8]]
            nearest = np.argsort(near, axis=1)[:, :neighbours]
            drawn = [np.concatenate([held_out[i : i + 1], x[nearest[i]]]) for i in range(len(near))]
            _grid(drawn, None, folder, "classification.png")
    return found


def _unlabelled(data):
    """Presets of a data set whose codes are made without its labels."""
    found = []
    for name in zoo.list_models():
        info = zoo.info(name)
        # The labels of a VQ-VAE are its prior's alone.
        quantized = info.get("codes", {}).get("number") is not None
        free = (info["condition"] or "optional").startswith("optional") or quantized
        if free and recipes.read(zoo.folder(name))["data"] == data:
            found.append(name)
    return found


def codes_of(model, x):
    """Codes as vectors `(n, d)`: of a quantized model, its codes' own.

    Raises:
        ValueError: a model whose codes are made with the label that is to be found.
    """
    quantized = model.codes_are_integers
    if model.condition is not None and not model.condition.optional and not quantized:
        raise ValueError(
            "Codes of a conditional model are made with the label: take an unconditional one. "
            f"Received: condition={type(model.condition).__name__}"
        )
    codes = model.encode(x)
    if quantized:
        codes = np.asarray(model.codebook)[codes]
    return codes.reshape(len(x), -1)


def _accuracy(what, codes, queries, labels, truth, k):
    right = metrics.nearest_labels(codes, np.asarray(labels, int), queries, k) == truth
    options = {
        "unit": "%",
        "error": 100 * right.std() / len(right) ** 0.5,
        "how": f"k = {k} of {len(codes)} training examples, {codes.shape[1]} numbers each, ",
    }
    return f"accuracy of neighbours, {what}", 100 * right.mean(), options


def anomalies(split, limit, seed, folder, digits=tuple(range(10)), epochs=5, data="mnist"):
    """Which examples are of a class that training never saw: one class left out at a time.

    A small dense VAE of the other classes scores every example by the squared error of
    its reconstruction and by the negative evidence lower bound (mean of 5 samples).
    """
    x, y = datasets.load(data, "train", limit=limit)
    held_out, labels = datasets.load(data, split, limit=limit)
    found, rows = [], []
    for digit in digits:
        model = models.vae(x.shape[1:], 16, units=(256,), likelihood="dynamic_bernoulli", seed=seed)
        _fit(model, x[y != digit], epochs, 128, 2e-3, seed)
        scores = anomaly_scores(model, held_out, seed)
        for title, score in zip(("reconstruction error", "negative ELBO"), scores, strict=True):
            area = metrics.auroc(score, labels == digit)
            found.append((f"AUROC of {digit} left out, {title}", area, {"digits": 3}))
        rows.append(held_out[np.argsort(-scores[1])[:10]])
        print(f"{digit} left out: AUROC {found[-2][1]:.3f} and {found[-1][1]:.3f}", flush=True)
    for i, title in enumerate(("reconstruction error", "negative ELBO")):
        mean = np.mean([value for _, value, _ in found[i : 2 * len(rows) : 2]])
        options = {"digits": 3, "how": f"mean over {len(rows)} classes, {epochs} epochs, "}
        found.append((f"AUROC, {title}", mean, options))
    _grid(rows, [f"{d} left out" for d in digits], folder, "anomalies.png")
    return found


def anomaly_scores(model, x, seed):
    """How strange examples are to a model, two ways: `(squared error, negative ELBO)`, `(n,)`."""
    error = np.square(model.reconstruct(x) - x).mean(axis=(1, 2, 3))
    bounds = [model.log_likelihood(x, 1, seed=[seed, k], verbose=False) for k in range(5)]
    return error, -np.mean(bounds, axis=0)


def denoising(split, limit, seed, folder, preset="mnist_denoising"):
    """PSNR of a denoiser, of the noisy pictures, and of filters that know no data.

    The filter is the best on the validation split of a 3 × 3 median and Gaussian blurs.
    """
    model, recipe = zoo.load(preset), recipes.read(zoo.folder(preset))
    if not model.denoises:
        raise ValueError(f"This preset is no denoiser. Received: preset={preset!r}")

    def pair(name):
        x, _ = datasets.load(recipe["data"], name, limit=limit)
        noisy = model.corruption.corrupt(x, seed)
        # Pixels are known to be in [0, 1], to a filter too.
        return x, noisy, np.clip(noisy, 0, 1)

    x, _, clipped = pair("validation")
    chosen = max(FILTERS, key=lambda name: metrics.psnr(x, FILTERS[name](clipped)).mean())
    x, noisy, clipped = pair(split)
    denoised = model.denoise(noisy)
    kind = type(model.corruption).__name__
    values = ", ".join(f"{k} {v:g}" for k, v in model.corruption.get_config().items())
    sets = {
        "noisy pictures": noisy,
        "noisy pictures, clipped": clipped,
        f"the best filter ({chosen})": FILTERS[chosen](clipped),
        preset: denoised,
    }
    found = []
    for title, pictures in sets.items():
        ratios = metrics.psnr(x, pictures)
        error = ratios.std(ddof=1) / len(ratios) ** 0.5
        options = {"unit": "dB", "error": error, "how": f"{kind}({values}), "}
        found.append((f"PSNR of {title}", ratios.mean(), options))
    rows = [x[:10], clipped[:10], FILTERS[chosen](clipped[:10]), denoised[:10]]
    _grid(rows, ["data", "noisy", "filter", "model"], folder, "denoising.png")
    return found


def median_filter(x):
    """Median of the 3 × 3 pixels about each, borders repeated."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    _, height, width, _ = x.shape
    shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.median(shifted, axis=0)


def gaussian_blur(x, sigma):
    """Gaussian average of standard deviation `sigma` pixels, borders repeated."""
    reach = int(np.ceil(3 * sigma))
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    weights /= weights.sum()
    for axis in (1, 2):
        widths = [(0, 0)] * 4
        widths[axis] = (reach, reach)
        padded, size = np.pad(x, widths, mode="edge"), x.shape[axis]
        x = sum(w * np.take(padded, range(i, i + size), axis=axis) for i, w in enumerate(weights))
    return x


FILTERS = {"median of 3 × 3": median_filter}
FILTERS |= {
    f"blur of σ {s}": lambda x, s=s: gaussian_blur(x, s) for s in (0.5, 0.6, 0.7, 0.8, 1.0, 1.2)
}


def _fit(model, x, epochs, batch_size, learning_rate, seed, callbacks=None):
    # The order of the batches is Keras' own, and follows from this.
    keras.utils.set_random_seed(seed)
    steps = epochs * -(-len(x) // batch_size)
    decay = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    model.compile(optimizer=keras.optimizers.Adam(decay))
    model.fit(x, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=callbacks)


def _grid(rows, labels, folder, name):
    if folder is None:
        return
    columns = min(map(len, rows))
    images = np.concatenate([np.asarray(row[:columns], "float32") for row in rows])
    plots.image_grid(images, columns, folder / name, row_labels=labels)
