"""`card`: a preset's pictures and its README, from its metadata."""

from pathlib import Path

import numpy as np
from PIL import Image

from keras_vae import _atomic, datasets, plots, zoo
from keras_vae.zoo import description, plain

from . import autoencoders, codes, faces, imputation, recipes, series, tables

LOGS = {
    "log.csv": "Training.",
    "prior_log.csv": "Training of the prior alone.",
}


def write(folder):
    """Draws the pictures that a preset's kind asks for and writes its card."""
    folder = Path(folder)
    pictures = _draw(folder)
    for file, _ in pictures:
        in_grey(folder / file)
    _atomic.write_text(folder / "README.md", _text(zoo.info(folder), folder, pictures))


def in_grey(path):
    """Writes a PNG of greys alone with one channel: the same picture in half the room."""
    if path.suffix != ".png":
        return
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    if (pixels == pixels[..., :1]).all():
        with _atomic.file(path) as new:
            Image.fromarray(pixels[..., 0]).save(new, optimize=True)


def _draw(folder):
    """Pictures as `(file, caption)`, drawn anew."""
    model = zoo.load(folder)
    recipe = recipes.read(folder)
    if model.codes_are_integers:
        return codes.draw(folder, model, recipe)
    drawn, chosen = [], recipe["evaluation"].get("pictures")

    def picture(file, caption, draw, *arguments, **options):
        # All, unless the recipe of a small preset names some.
        if chosen is not None and file not in chosen:
            return
        draw(*arguments, path=folder / file, **options)
        drawn.append((file, caption))

    if faces.are_photographs(recipe["data"]):
        _draw_faces(model, picture)
    elif model.likelihood.tables:
        caption = "Columns of the test rows (filled) and of 2,000 samples (lines)."
        picture("columns.png", caption, tables.draw, model, recipe)
    elif series.are_series(recipe["data"]):
        picture("series.png", series.CAPTION, series.draw, model, recipe)
    else:
        _draw_data(model, recipe, picture)
    for file, caption in LOGS.items():
        if (folder / file).is_file():
            history = np.genfromtxt(folder / file, delimiter=",", names=True)
            columns = {n: np.atleast_1d(history[n]) for n in history.dtype.names}
            columns.pop("epoch", None)
            name = file.replace("log.csv", "training.png")
            picture(name, caption, plots.training_curves, columns)
    return drawn


def _draw_faces(model, picture):
    """Pictures of faces that the model drew: photographs are not to be given away.

    As JPEG they are a fifth as large.
    """
    y = None if model.condition is None else faces.attributes(32)
    picture("samples.jpg", "Samples.", plots.samples, model, n=32, condition=y, seed=1)
    x, y = faces.drawn(model, 8, seed=2)
    if model.condition is not None or model.directions is not None:
        picture(
            "attributes.jpg",
            "Samples, the same with one attribute switched (columns), and below what changed: "
            "grey where nothing did.",
            plots.edits,
            model,
            x[:4],
            faces.SWITCHED,
            condition=None if y is None else y[:4],
        )
        picture(
            "strengths.jpg",
            "Two samples, edited with increasing strength: 0 changes nothing, 1 is what `edit` "
            "does by default.",
            plots.strengths,
            model,
            x[:2],
            faces.SHOWN,
            condition=None if y is None else y[:2],
        )
    picture(
        "interpolation.jpg",
        "From one sample to another through the latent space.",
        plots.interpolation,
        model,
        x[:3],
        x[3:6],
        condition=None if y is None else y[:3],
    )


def _draw_data(model, recipe, picture):
    """Pictures that begin with test data."""
    labels = datasets.info(recipe["data"]).classes
    x, y = datasets.load(recipe["data"], "test", limit=2000)
    condition = None if model.condition is None else y
    few = slice(0, 10)
    few_y = None if condition is None else condition[few]

    def own(rows):
        return None if condition is None else condition[rows]

    if model.can_sample:
        picture("samples.png", "Samples from the prior.", plots.samples, model, seed=0)
    picture(
        "reconstructions.png",
        "Test images above their reconstructions.",
        plots.reconstructions,
        model,
        x[few],
        condition=few_y,
    )
    if model.denoises:
        caption = "Test images, the same corrupted, and what is made of that."
        picture("denoised.png", caption, autoencoders.draw_denoised, model, x[few])
    if recipe["training"].get("missing"):
        caption = "Test images, what the model is shown of them (gaps in grey), and what it makes."
        picture("imputed.png", caption, imputation.draw, model, recipe, x[few])
    first, second = _pairs(y)
    picture(
        "interpolation.png",
        "From one test image to another through the latent space.",
        plots.interpolation,
        model,
        x[first],
        x[second],
        condition=own(first),
    )
    # Of a conditional model there is a plane for every condition.
    if model.latent_dim == 2 and condition is None:
        picture("manifold.png", "The latent plane, decoded.", plots.manifold, model)
    if condition is None:
        picture(
            "latent.png",
            "Posterior means of 2000 test images, by label.",
            plots.latent_scatter,
            model,
            x,
            y,
            class_names=labels,
        )


def _pairs(labels, n=4):
    """Rows of the first examples of n labels, and of n others."""
    first = [int(np.flatnonzero(labels == k)[0]) for k in range(2 * n)]
    return first[:n], first[n:]


def _text(info, folder, pictures):
    # A card is a page: what a stranger's file says is shown, and does nothing.
    info = description.Info(plain.markup(dict(info)))
    written = recipes.read(folder)
    training, recipe = info["training"], plain.markup(written)
    rows = [
        f"| {m['title']} | {_value(m)} | {m['how']} | `{m['command']}` |" for m in info["metrics"]
    ]
    measured = (
        ["| | value | how | command |", "|---|---|---|---|", *rows]
        if rows
        else ["Nothing yet: run `python -m tools evaluate " + info["name"] + "`."]
    )
    use = f'model = keras_vae.zoo.load("{info["name"]}")\n' + _use(info, recipe)
    shape = "×".join(map(str, info["input"]["shape"]))
    span = f" in {info['input']['range']}" if info["input"]["range"] else ""
    if tables.are_rows(recipe["data"]):
        span = ", what `model.likelihood.encode` makes of a table"
    if series.are_series(recipe["data"]):
        span = ", NaN after the end of a series (`models.pad_series`)"
    facts = [
        f"- Input: {shape} float32{span}",
        f"- Latent dimensions: {info['latent_dim']}"
        if not info.get("codes")
        else f"- Codes: {description.latent(info)}",
        f"- Condition: {info['condition']}" if info["condition"] else None,
        f"- Size: {info['parameters']:,} parameters, {info['bytes'] / 1e6:.2f} MB",
        f"- Data: {info['data']}",
        f"- Paper: {info['paper']}",
        f"- Licence of the weights: {info['licence']}",
        f"- Version: {info['version']}",
    ]
    trained = (
        f"`python -m tools --backend {training['backend']} train {info['name']}`: "
        f"{training['epochs']} epochs, {_kept(training)}; {_prior_phase(training)}"
        f"{training['hardware']}. Every setting is in `recipe.json`; made with "
        + ", ".join(f"{k} {v}" for k, v in info["made_with"].items())
        + "."
    )
    # Notes have paragraphs.
    notes = plain.text(written.get("notes") or "", most=20_000).replace("<", "&lt;")
    parts = [
        f"# {info['name']}",
        info["description"],
        f"```python\nimport keras_vae\n\n{use}```",
        "\n".join(filter(None, facts)),
        "## Measured",
        "\n".join(measured),
        *_exports(info),
        "## Pictures",
        *(f"{caption}\n\n![{caption}]({file})" for file, caption in pictures),
        "## Training",
        trained,
        *([f"## Notes\n\n{notes}"] if notes else []),
    ]
    return "\n\n".join(parts) + "\n"


def _exports(info):
    """The table of the exported variants, where they were measured."""
    exports = info.get("exports")
    if not exports:
        return []
    error = "share of other codes, largest error: picture"
    if not info.get("codes"):
        error = "largest error: code, picture"
    head = [
        f"| variant | MB | {error} | PSNR (Keras), dB | encode, decode ms | |",
        "|---|---|---|---|---|---|",
    ]
    rows = [
        f"| {e['variant']} | | | | | refused: {e['why']} |"
        if "why" in e
        else f"| {e['variant']} | {e['megabytes']:.3f} | {e['code_error']:.1e}, "
        f"{e['picture_error']:.1e} | {e['psnr_db']:.2f} ({e['keras_psnr_db']:.2f}) | "
        f"{e['encode_ms']:.3f}, {e['decode_ms']:.3f} | "
        f"{'kept' if e.get('kept', True) else 'refused'} |"
        for e in exports
    ]
    first = exports[0]
    how = (
        f"Compared with Keras on {first['backend']}, {first['examples']} examples "
        f"({first['source']}). One example a call; TFLite in the LiteRT interpreter on one "
        f"thread of {first['hardware']}, not on a phone. Refused: its reconstructions lose more "
        f"than the budget, and `export.tflite` writes no file. Command: `{first['command']}`."
    )
    return ["## Exported", "\n".join(head + rows), how]


def _prior_phase(training):
    if "prior" not in training:
        return ""
    prior = training["prior"]
    return (
        f"then {prior['epochs']} of the prior alone ({prior['validation_loss']} "
        f"{prior.get('unit', 'nats')} a map, "
        f"epoch {prior['best_epoch']}); "
    )


def _kept(training):
    """Which weights of a training were kept, in words."""
    if training.get("last"):
        return "the last kept"
    loss, epoch = training["validation_loss"], training["best_epoch"]
    return f"the best by validation loss ({loss} nats, epoch {epoch}) kept"


def _use(info, recipe):
    """What can be done with a model, in a few lines."""
    condition, directions = info["condition"] or "", recipe["training"].get("directions")
    if condition.startswith("attributes"):
        return (
            "# y: 0 and 1 for each name in model.condition.names\n"
            "pictures = model.sample(64, condition=y, seed=0)\n"
            "smiling = model.edit(x, y_of_x, Smiling=1)\n"
        )
    if condition:
        return "pictures = model.sample(10, condition=range(10), seed=0)\n"
    use = "pictures = model.sample(64, seed=0)\n"
    if tables.are_rows(recipe["data"]):
        use = "rows = model.sample(1000, seed=0, noise=True)  # a DataFrame\n"
    if series.are_series(recipe["data"]):
        use = (
            "x = keras_vae.models.pad_series(arrays, model.data_shape[0])\n"
            "codes = model.encode(x)\n"
            "scores = model.log_likelihood(x, samples=100)  # nats, of the steps there are\n"
        )
    if recipe["model"]["function"].endswith("autoencoder") and not _has_sampler(recipe):
        use = "codes = model.encode(x)\n"
    if recipe["model"]["function"] == "denoising_autoencoder":
        use += "clean = model.denoise(model.corruption.corrupt(x, seed=0))\n"
    if recipe["training"].get("missing"):
        use += "whole = model.impute(x)  # NaN where a value is missing\n"
    return use + ("smiling = model.edit(x, Smiling=1)\n" if directions else "")


def _has_sampler(recipe):
    """Whether training gave an autoencoder what it samples from."""
    return any(recipe["training"].get(key) for key in ("sampler", "fitted_prior"))


def _value(metric):
    text = f"{metric['value']:.{metric['digits']}f}"
    if metric["standard_error"]:
        text += f" ± {metric['standard_error']:.2f}"
    return f"{text} {metric['unit']}".strip()
