"""`card`: a preset's pictures and its README, from its metadata."""

from pathlib import Path

import numpy as np

from keras_vae import _atomic, datasets, plots, zoo

from . import codes, recipes


def write(folder):
    """Draws the pictures that a preset's kind asks for and writes its card."""
    folder = Path(folder)
    pictures = _draw(folder)
    _atomic.write_text(folder / "README.md", _text(zoo.info(folder), folder, pictures))


def _draw(folder):
    """Pictures as `(file, caption)`, drawn anew."""
    model = zoo.load(folder)
    recipe = recipes.read(folder)
    if "codes" in zoo.info(folder):
        return codes.draw(folder, model, recipe)
    labels = datasets.info(recipe["data"]).classes
    x, y = datasets.load(recipe["data"], "test", limit=2000)
    condition = None if model.condition is None else y
    few = slice(0, 10)
    few_y = None if condition is None else condition[few]

    def own(rows):
        return None if condition is None else condition[rows]

    drawn = []

    def picture(file, caption, draw, *arguments, **options):
        draw(*arguments, path=folder / file, **options)
        drawn.append((file, caption))

    picture("samples.png", "Samples from the prior.", plots.samples, model, seed=0)
    picture(
        "reconstructions.png",
        "Test images above their reconstructions.",
        plots.reconstructions,
        model,
        x[few],
        condition=few_y,
    )
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
    if model.latent_dim == 2:
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
    log = folder / "log.csv"
    if log.is_file():
        history = np.genfromtxt(log, delimiter=",", names=True)
        columns = {n: np.atleast_1d(history[n]) for n in history.dtype.names}
        columns.pop("epoch", None)
        picture("training.png", "Training.", plots.training_curves, columns)
    return drawn


def _pairs(labels, n=4):
    """Rows of the first examples of n labels, and of n others."""
    first = [int(np.flatnonzero(labels == k)[0]) for k in range(2 * n)]
    return first[:n], first[n:]


def _text(info, folder, pictures):
    training, recipe = info["training"], recipes.read(folder)
    rows = [
        f"| {m['title']} | {_value(m)} | {m['how']} | `{m['command']}` |" for m in info["metrics"]
    ]
    measured = (
        ["| | value | how | command |", "|---|---|---|---|", *rows]
        if rows
        else ["Nothing yet: run `python -m tools evaluate " + info["name"] + "`."]
    )
    use = f'model = keras_vae.zoo.load("{info["name"]}")\n' + (
        "pictures = model.sample(10, condition=range(10), seed=0)\n"
        if info["condition"]
        else "pictures = model.sample(64, seed=0)\n"
    )
    shape = "×".join(map(str, info["input"]["shape"]))
    facts = [
        f"- Input: {shape} float32 in {info['input']['range']}",
        f"- Latent dimensions: {info['latent_dim']}"
        if not info.get("codes")
        else f"- Codes: {zoo._latent(info)}",
        f"- Condition: {info['condition']}" if info["condition"] else None,
        f"- Size: {info['parameters']:,} parameters, {info['bytes'] / 1e6:.2f} MB",
        f"- Data: {info['data']}",
        f"- Paper: {info['paper']}",
        f"- Licence of the weights: {info['licence']}",
        f"- Version: {info['version']}",
    ]
    trained = (
        f"`python -m tools --backend {training['backend']} train {info['name']}`: "
        f"{training['epochs']} epochs, the best by validation loss "
        f"({training['validation_loss']} nats, epoch {training['best_epoch']}) kept; "
        f"{_prior_phase(training)}{training['hardware']}. "
        "Every setting is in `recipe.json`; made with "
        + ", ".join(f"{k} {v}" for k, v in info["made_with"].items())
        + "."
    )
    notes = recipe.get("notes")
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
        f"| variant | MB | {error} | PSNR (Keras), dB | encode, decode ms |",
        "|---|---|---|---|---|",
    ]
    rows = [
        f"| {e['variant']} | {e['megabytes']:.3f} | {e['code_error']:.1e}, "
        f"{e['picture_error']:.1e} | {e['psnr_db']:.2f} ({e['keras_psnr_db']:.2f}) | "
        f"{e['encode_ms']:.3f}, {e['decode_ms']:.3f} |"
        for e in exports
    ]
    first = exports[0]
    how = (
        f"Compared with Keras on {first['backend']}, {first['examples']} examples "
        f"({first['source']}). One example a call; TFLite in the LiteRT interpreter on one "
        f"thread of {first['hardware']}, not on a phone. Command: `{first['command']}`."
    )
    return ["## Exported", "\n".join(head + rows), how]


def _prior_phase(training):
    if "prior" not in training:
        return ""
    prior = training["prior"]
    return (
        f"then {prior['epochs']} of the prior alone ({prior['validation_loss']} nats a map, "
        f"epoch {prior['best_epoch']}); "
    )


def _value(metric):
    text = f"{metric['value']:.{metric['digits']}f}"
    if metric["standard_error"]:
        text += f" ± {metric['standard_error']:.2f}"
    return f"{text} {metric['unit']}".strip()
