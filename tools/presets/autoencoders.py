"""Measures and pictures of autoencoders that are not variational."""

import numpy as np

from keras_vae import metrics, plots, zoo
from keras_vae.zoo import description


def measured(folder, model, recipe, x, y, entry, seed=0):
    """What `evaluate` finds of an autoencoder besides what it finds of every model.

    A denoiser is measured on data that its own corruption, drawn with `seed`, has gone
    over. With `jacobian_examples` in the recipe's `evaluation` so many examples tell how
    much the code moves with the data. `compare` names an autoencoder, beside the preset
    or packaged, that is measured in the same way.

    Args:
        folder: the preset's folder.
        model: its model, whose codes have no noise.
        recipe: its recipe.
        x, y: a split and its conditions, or None.
        entry: makes an entry of the metadata; see `evaluate.evaluate`.
        seed: of the corruption.

    Returns:
        List of entries.
    """
    settings = recipe["evaluation"]
    name, other = _other(folder, settings.get("compare"))
    share = metrics.active_share(model, x, y)
    how = "|z| above a tenth of the example's largest; "
    found = [
        entry("units active at a time", 100 * share.mean(), _error(100 * share), "%", how, 1),
    ]
    if model.denoises:
        found += _denoising(model, name, other, x, y, entry, seed)
    if settings.get("jacobian_examples"):
        rows = slice(0, settings["jacobian_examples"])
        few = x[rows], None if y is None else y[rows]
        how = f"the first {len(few[0])} of them, "
        found += _jacobian(model, *few, entry, "", how)
        if other is not None:
            found += _jacobian(other, *few, entry, f" of {name}", how)
    return found


def _other(folder, name):
    """The preset to compare with, and its name; None where there is none yet."""
    if name is None:
        return None, None
    beside = folder.parent / name
    if not (beside / description.METADATA).is_file() and name not in zoo.list_models():
        print(f"Not compared with {name}: there is no such preset yet.")
        return name, None
    return name, zoo.load(beside if (beside / description.METADATA).is_file() else name)


def _denoising(model, name, other, x, y, entry, seed):
    """PSNR of noisy data and of what is made of it."""
    noisy = model.corruption.corrupt(x, seed)
    values = ", ".join(f"{k} {v:g}" for k, v in model.corruption.get_config().items())
    how = f"{type(model.corruption).__name__}({values}), mean over images; "
    # Clipping alone takes some noise away, and other models want data in its range.
    clipped = np.clip(noisy, *(model.likelihood.data_range or (-np.inf, np.inf)))
    rows = [
        ("PSNR of noisy data", noisy),
        ("PSNR of noisy data, clipped", clipped),
        ("PSNR of denoised data", model.denoise(noisy, y)),
    ]
    if other is not None:
        rows.append((f"PSNR of the clipped data through {name}", other.reconstruct(clipped)))
    found = []
    for title, pictures in rows:
        ratios = metrics.psnr(x, pictures)
        found.append(entry(title, ratios.mean(), _error(ratios), "dB", how))
    return found


def _jacobian(model, x, y, entry, whose, how):
    """How much codes move, as it is and beside how much they vary."""
    squared = metrics.squared_jacobian(model, x, y)
    variance = model.encode(x, y).var(axis=0, dtype="float64").sum()
    return [
        entry(f"squared Jacobian norm{whose}", squared.mean(), _error(squared), "", how),
        entry(
            f"squared Jacobian norm over the codes' variance{whose}",
            squared.mean() / variance,
            _error(squared) / variance,
            "",
            how,
            3,
        ),
    ]


def _error(values):
    return values.std(ddof=1) / len(values) ** 0.5


def draw_denoised(model, x, path, seed=0):
    """Data, the same corrupted, and what the model makes of that, in three rows."""
    noisy = model.corruption.corrupt(x, seed)
    rows = np.concatenate([x, noisy, model.denoise(noisy)])
    return plots.image_grid(rows, len(x), path, row_labels=["data", "noisy", "model"])
