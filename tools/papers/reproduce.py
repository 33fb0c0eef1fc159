"""`reproduce`: trains a published table's rows and puts our numbers beside the paper's."""

import csv
import shutil
import time
from pathlib import Path

import keras

from keras_vae import _atomic, datasets, metrics
from keras_vae.zoo import description

from .. import machine
from ..judges import frechet
from ..presets import recipes, train
from .quantized import codes
from .shown import FOLDER, line, markdown, plot, read
from .tables import TABLES


def reproduce(
    name,
    budget=0.01,
    rows=None,
    out=None,
    split="test",
    limit=None,
    restart=False,
    samples=None,
):
    """Trains the rows of a table that are not done yet, and measures them.

    Each row goes on from its last epoch where it was interrupted, and is written to
    `<out>/<name>.json` as soon as it is measured. A row that is there with the same
    budget, split, limit and samples is not trained again.

    Args:
        name: one of `tables.TABLES`.
        budget: part of the paper's epochs, warm-up and patience, above 0; never less
            than one epoch, nor than a patience of 10.
        rows: names of some rows; all by default.
        out: folder; `zoo/reproduce` by default.
        split: "test", or "validation" while something is still being chosen.
        limit: the first examples of each split only; needs `out`.
        restart: forget what earlier runs did of these rows.
        samples: of the importance-weighted bound; the paper's by default, or 5 of a part
            of the data. Fewer are faster, and the bound is then looser.

    Returns:
        The table, as it was written.

    Raises:
        ValueError: an unknown table or row, a budget that is not above 0, no samples, or
            samples where no bound is measured.
    """
    table = _table(name)
    made = {row["name"]: row for row in table["rows"]()}
    chosen = list(made) if rows is None else list(rows)
    unknown = [row for row in chosen if row not in made]
    if unknown:
        raise ValueError(f"Rows of {name} are {', '.join(made)}. Received: {unknown}")
    if not budget > 0:
        raise ValueError(f"`budget` must be above 0. Received: budget={budget!r}")
    if samples is not None and samples < 1:
        raise ValueError(f"`samples` must be at least 1. Received: samples={samples!r}")
    if samples is not None and table["measure"] != "likelihood":
        raise ValueError(
            f"The table {name} measures no bound: leave `samples` out. Received: samples={samples}"
        )
    if limit and not out:
        raise ValueError("A part of the data is no reproduction: say where to with `out`.")
    folder = Path(out) if out else FOLDER
    done = read(name, folder)
    for each in chosen:
        found = {} if restart else done.get(each, {})
        settings = {"budget": budget, "split": split, "limit": limit, "samples": samples}
        if all(found.get(key) == value for key, value in settings.items()):
            print(f"{name}/{each}: done before.")
            continue
        print(f"{name}/{each}: training", flush=True)
        done[each] = _row(name, table, made[each], settings, folder, restart)
        _write(name, table, done, made, folder)
        print(line(done[each]), flush=True)
    print(markdown(folder, [name]))
    return done


def _table(name):
    if name not in TABLES:
        raise ValueError(f"`table` must be one of {', '.join(TABLES)}. Received: {name!r}")
    return TABLES[name]


def scaled(training, budget):
    """A recipe's `training` with a part of its epochs, at least one, and of its patience."""
    found = dict(training)
    found["epochs"] = max(1, round(found["epochs"] * budget))
    if "patience" in found:
        # Of fewer epochs noise would decide.
        found["patience"] = max(min(10, found["patience"]), round(found["patience"] * budget))
    if found.get("warmup_epochs"):
        # As large a part of the training as it was.
        found["warmup_epochs"] = found["warmup_epochs"] / training["epochs"] * found["epochs"]
    if "prior" in found:
        epochs = max(1, round(found["prior"]["epochs"] * budget))
        found["prior"] = {**found["prior"], "epochs": epochs}
    return found


def stages(recipe):
    """A recipe once for each stage of its training: with its arguments and part of the epochs.

    A stage goes on from the weights of the one before it, with a decay of its own.
    """
    training, model = recipe["training"], recipe["model"]
    found = []
    for stage in training.get("stages", [{"part": 1}]):
        own = dict(stage)
        epochs = max(1, round(training["epochs"] * own.pop("part")))
        found.append(
            {
                **recipe,
                "model": {**model, "arguments": {**model["arguments"], **own}},
                "training": {**training, "epochs": epochs},
            }
        )
    return found


def averaged(training, n):
    """A recipe's `training` with averages of its weights that forget where they began.

    Averages of .999 are of some 1000 steps, which may be all that a small budget has:
    at most a fiftieth of the steps is averaged.

    Args:
        training: of a recipe.
        n: training examples.
    """
    steps = training["epochs"] * -(-n // training["batch_size"])
    most = max(0.0, 1 - 50 / steps)
    return {**training, "weight_average": min(training["weight_average"], most)}


def _row(name, table, row, settings, folder, restart):
    """Trains and measures one row; returns what is written of it."""
    recipe = {**row["recipe"], "training": scaled(row["recipe"]["training"], settings["budget"])}
    training, limit = recipe["training"], settings["limit"]
    samples = settings["samples"] or (5 if limit else recipe["evaluation"]["samples"])
    recipe["evaluation"] = {"samples": samples}
    # Another budget or part of the data is another run.
    runs = folder / ".runs" / name / f"{row['name']}_{training['epochs']}_{limit or 'all'}"
    started, weights, curve = time.monotonic(), None, []
    for number, stage in enumerate(stages(recipe), start=1):
        stage_runs = runs / f"stage_{number}"
        model, (x, y), validation = train.begin(stage, stage_runs, restart, limit)
        if weights is not None:
            model.set_weights(weights)
        how = averaged(stage["training"], len(x))
        best = train._fit(model, x, y, validation, how, stage_runs)
        weights = model.get_weights()
        before = curve[-1][0] if curve else 0
        curve += _curve(stage_runs / "log.csv", before)
    if "prior" in training:
        train._fit_prior(model, x, y, validation, how, runs, None)
    seconds = time.monotonic() - started
    model = model.plain()
    found = MEASURES[table["measure"]](model, recipe, settings["split"], limit)
    shutil.rmtree(runs)
    command = f"python -m tools reproduce {name} --budget {settings['budget']:g}"
    command += f" --rows {row['name']}"
    for key in ("split", "limit", "samples"):
        if settings[key] not in (None, "test"):
            command += f" --{key} {settings[key]}"
    return {
        "name": row["name"],
        **settings,
        "published": row["published"],
        "ours": found,
        "epochs": curve[-1][0],
        "paper_epochs": row["recipe"]["training"]["epochs"],
        "best_epoch": before + best.best["epoch"],
        "validation_loss": round(best.best["val_loss"], 3),
        "validation_curve": curve,
        "seconds_of_this_run": round(seconds),
        "command": command,
        "backend": keras.backend.backend(),
        "hardware": machine.hardware(),
        "made_with": train._versions(),
    }


def _curve(log, after=0, points=50):
    """Epochs, from `after` on, and validation losses at about so many of them, and the last."""
    with open(log, encoding="utf-8", newline="") as file:
        found = [(after + int(r["epoch"]) + 1, float(r["val_loss"])) for r in csv.DictReader(file)]
    every = -(-len(found) // points)
    return [(epoch, round(loss, 3)) for epoch, loss in found[::-1][::every][::-1]]


def _figure(value, error=None, how="", digits=2):
    error = None if error is None else float(error)
    return {"value": float(value), "standard_error": error, "how": how, "digits": digits}


def likelihood(model, recipe, split, limit, seed=0):
    """The importance-weighted bound on -log p(x)."""
    x, y = recipes.data(recipe, split, model, limit)
    bound = metrics.log_likelihood(model, x, y, recipe["evaluation"]["samples"], seed)
    how = f"{split}, n = {bound.n}, K = {bound.samples}, seed {seed}"
    return {"NLL": _figure(-bound.mean, bound.standard_error, how)}


# Scores of disentanglement by the names that the field has for them.
SCORES = {
    "mig": "MIG",
    "sap": "SAP",
    "modularity": "modularity",
    "disentanglement": "DCI disentanglement",
    "completeness": "DCI completeness",
    "informativeness": "DCI informativeness",
    "factor_vae": "FactorVAE score",
    "beta_vae": "β-VAE score",
}


def disentanglement(model, recipe, split, limit, seed=0):
    """All scores of the posterior's means, of active dimensions."""
    x, factors = datasets.load(recipe["data"], split, limit=limit)
    codes = model.encode(x)
    active = codes.var(axis=0) > 0.01
    how = f"{split}, n = {len(x)}, {int(active.sum())} of {len(active)} dimensions, seed {seed}"
    if not active.any():
        # A collapsed code says nothing of any factor.
        return {"MIG": _figure(0.0, how=how, digits=3)}
    names = [name for name, _ in datasets.info(recipe["data"]).factors]
    shapes = tuple(i for i, factor in enumerate(names) if factor == "shape")
    found = metrics.disentanglement_scores(codes, factors, shapes, active, seed=seed)
    return {SCORES[key]: _figure(value, how=how, digits=3) for key, value in found.items()}


def faces(model, recipe, split, limit, seed=0):
    """Fréchet distances of samples and reconstructions from the split."""
    x, y = recipes.data(recipe, split, model, limit)
    features, what = frechet.features_of(recipe["data"])
    sets = {"samples": model.sample(len(x), condition=y, seed=seed)}
    sets["reconstructions"] = model.reconstruct(x, y)
    how = f"{split}, n = {len(x)}, {what}seed {seed}"
    return {
        f"Fréchet distance of {name}": _figure(
            metrics.frechet_distance(pictures, x, features), how=how
        )
        for name, pictures in sets.items()
    }


MEASURES = {
    "likelihood": likelihood,
    "disentanglement": disentanglement,
    "frechet": faces,
    "codes": codes,
}


def _write(name, table, done, made, folder):
    ordered = [done[row] for row in made if row in done]
    kept = {key: table[key] for key in ("title", "paper", "notes", "unit")}
    folder.mkdir(parents=True, exist_ok=True)
    _atomic.write_text(
        folder / f"{name}.json", description.dump_json({"table": name, **kept, "rows": ordered})
    )

    plot(folder, name)
