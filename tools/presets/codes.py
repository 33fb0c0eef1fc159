"""Measures and pictures of presets whose codes are integers (VQ-VAEs)."""

import numpy as np

from keras_vae import datasets, metrics, plots, similarity

from ..judges import frechet
from ..judges.classifier import judged
from . import recipes


def measured(model, x, y, data, entry, seed=0, samples=None):
    """What `evaluate` finds of a VQ-VAE.

    Args:
        model: a `VQVAE`.
        x, y: a split and its conditions, or None.
        data: name of the data set.
        entry: makes an entry of the metadata; see `evaluate.evaluate`.
        seed: of the samples.
        samples: how many are drawn; as many as the split has by default.

    Returns:
        List of entries.
    """
    rebuilt, codes = model.reconstruct(x), model.encode(x)
    usage = metrics.codebook_usage(codes, model.num_codes)
    bits = -model.code_log_prob(codes, y).astype("float64") / np.log(2)
    bound = metrics.log_likelihood(model, x, y, samples=1, seed=seed)
    pixels, places = np.prod(model.data_shape[:2]), np.prod(model.code_shape)
    scales = similarity.scales_of(*model.data_shape[:2])
    similar = metrics.ms_ssim(x, np.clip(rebuilt, 0, 1))
    ratios = metrics.psnr(x, rebuilt)
    found = [
        entry("reconstruction MSE", np.square(x - rebuilt).mean(), unit="a pixel", digits=5),
        entry("PSNR", ratios.mean(), _error(ratios), "dB"),
        entry(f"MS-SSIM ({scales} scales)", similar.mean(), unit="", digits=4),
        entry(f"perplexity of {model.num_codes} codes", usage.perplexity, unit="", digits=1),
        entry("codes that are used", 100 * usage.used, unit="%", digits=1),
        entry(
            "codes under the prior",
            bits.mean() / pixels,
            unit="bits a pixel",
            digits=4,
            how=f"{bits.mean() / places:.2f} bits a code, {bits.mean():.1f} an image, ",
        ),
        entry("-log p(pixels, given codes) - log p(codes)", -bound.mean, bound.standard_error),
    ]
    n, asked = samples or len(x), None
    if model.takes_labels:
        asked = np.arange(n) % model.condition.num_classes
    drawn = model.sample(n, condition=asked, seed=seed)
    if datasets.info(data).classes:
        found += judged(drawn, asked, x, data, entry)
    sets = {"samples": drawn, "reconstructions": rebuilt}
    return found + frechet.distances(data, x, sets, entry)


def _error(values):
    return values.std(ddof=1) / len(values) ** 0.5


def draw(folder, model, recipe):
    """Pictures of the card as `(file, caption)`, drawn anew."""
    x, _ = recipes.shown(recipe, model, 10)
    what = "Samples" if datasets.info(recipe["data"]).attributes else "Test images"
    kind = "jpg" if model.data_shape[-1] == 3 else "png"
    drawn = [
        (f"samples.{kind}", "Samples: codes from the prior, decoded."),
        (f"reconstructions.{kind}", f"{what} above their reconstructions."),
        (f"codes.{kind}", f"{what}, their maps of codes (a colour is a code), the codes decoded."),
    ]
    plots.samples(model, seed=0, path=folder / f"samples.{kind}")
    plots.reconstructions(model, x, path=folder / f"reconstructions.{kind}")
    plots.code_maps(model, x, path=folder / f"codes.{kind}")
    for log, picture, caption in (
        ("log.csv", "training.png", "Training."),
        ("prior_log.csv", "prior_training.png", "Training of the prior alone."),
    ):
        if (folder / log).is_file():
            plots.training_curves(_history(folder / log), path=folder / picture)
            drawn.append((picture, caption))
    return drawn


def _history(path):
    table = np.genfromtxt(path, delimiter=",", names=True)
    columns = {name: np.atleast_1d(table[name]) for name in table.dtype.names}
    columns.pop("epoch", None)
    return columns
