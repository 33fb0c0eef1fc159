"""Measures and pictures of presets whose codes are integers (VQ-VAEs)."""

import io
import math

import numpy as np
from PIL import Image

from keras_vae import datasets, metrics, plots, similarity

from ..judges import frechet
from ..judges.classifier import judged
from . import recipes

# Of the files that the codes are held against.
QUALITIES = (1, 5, 10, 20, 30, 45, 60, 75, 90)


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


def compared(model, x, y, entry, limit=1000):
    """Bytes of the codes, and of files of the same PSNR, as entries.

    Args:
        model: a `VQVAE`.
        x, y: pictures of a split in [0, 1] and their conditions, or None.
        entry: see `measured`.
        limit: pictures of which files are written.
    """
    codes = model.encode(x)
    ratios = metrics.psnr(x, model.decode(codes))
    bits = -model.code_log_prob(codes, y).astype("float64") / np.log(2)
    found = [
        entry(
            "bytes of the codes", _bytes(model), unit="", digits=0, how="as many bits for each, "
        ),
        entry(
            "bytes of the codes under the prior",
            bits.mean() / 8,
            unit="",
            digits=1,
            how="as an arithmetic coder that knows it would write them, ",
        ),
    ]
    wanted, few = ratios[:limit].mean(), x[:limit]
    for kind in ("JPEG", "WEBP"):
        curve = [[np.mean(v) for v in zip(*_files(few, kind, q), strict=True)] for q in QUALITIES]
        sizes, reached = np.transpose(curve)
        title = f"bytes of a {kind} file of that PSNR"
        if not reached.min() <= wanted <= reached.max():
            # Of a worse picture there is no smaller file.
            title, size = f"bytes of the smallest {kind} file", sizes.min()
            how = f"{reached[sizes.argmin()]:.1f} dB, {len(few)} pictures, "
        else:
            size = np.interp(wanted, reached, sizes)
            how = f"{wanted:.1f} dB, {len(few)} pictures, the header included, "
        found.append(entry(title, size, unit="", digits=0, how=how))
    return found


def _bytes(model):
    """Bytes of a picture's codes, as many bits for each."""
    return math.ceil(np.prod(model.code_shape) * np.log2(model.num_codes) / 8)


def _files(x, kind, quality):
    """Bytes and PSNR of each picture as a file."""
    for picture in x:
        size, read = file(picture, kind, quality)
        yield size, float(metrics.psnr(picture[None], read[None])[0])


def file(picture, kind, quality):
    """A picture `(h, w, c)` in [0, 1] written as a file and read again: `(bytes, picture)`."""
    values = np.rint(255 * np.clip(picture, 0, 1)).astype("uint8")
    held = io.BytesIO()
    image = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    image.save(held, kind, quality=quality, optimize=True)
    read = Image.open(held).convert("L" if values.shape[-1] == 1 else "RGB")
    return held.tell(), np.asarray(read, "float32").reshape(picture.shape) / 255


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
    if recipe["evaluation"].get("compressor"):
        caption = (
            f"Test images, what {_bytes(model)} bytes of codes hold, and JPEG files of the lowest "
            "quality."
        )
        _draw_compressed(model, x, folder / f"compressed.{kind}")
        drawn.insert(0, (f"compressed.{kind}", caption))
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


def _draw_compressed(model, x, path):
    """Pictures, what their codes hold, and JPEG files of the lowest quality."""
    smallest = [file(picture, "JPEG", 1) for picture in x]
    shown = np.concatenate([x, model.reconstruct(x), [read for _, read in smallest]])
    names = ["image", "codes", f"{np.mean([size for size, _ in smallest]):.0f} bytes"]
    plots.image_grid(shown, columns=len(x), path=path, row_labels=names)


def _history(path):
    table = np.genfromtxt(path, delimiter=",", names=True)
    columns = {name: np.atleast_1d(table[name]) for name in table.dtype.names}
    columns.pop("epoch", None)
    return columns
