"""Quantizers under one budget: the tables of `keras_vae/quantizers/README.md`."""

import json
from pathlib import Path

import numpy as np

from keras_vae import _atomic, metrics, models, quantizers

from ..judges import frechet
from ..presets import recipes
from .tables import TABLES

PAGE = Path(__file__).resolve().parents[2] / "keras_vae" / "quantizers" / "README.md"
# Samples that are held against as many test pictures.
DRAWN = 2000
WIDTH = 32


def kinds():
    """What makes a quantizer of about ten bits per position, by the name of its row."""
    vector = quantizers.VectorQuantizer
    small = {"seed": 1, "distance": "cosine"}
    return {
        "vq": lambda: vector(1024, WIDTH, seed=1),
        "vq_kmeans": lambda: vector(1024, WIDTH, seed=1, start="kmeans"),
        "vq_rotation": lambda: vector(1024, WIDTH, seed=1, gradient="rotation"),
        "vq_cosine_8": lambda: quantizers.Projected(vector(1024, 8, **small), WIDTH, seed=2),
        "sim_vq": lambda: quantizers.SimVQ(1024, WIDTH, seed=1),
        "fsq": lambda: quantizers.FiniteScalar((8, 5, 5, 5)),
        "lfq": lambda: quantizers.LookupFree(10),
        "bsq": lambda: quantizers.LookupFree(10, spherical=True),
        "residual": lambda: quantizers.Residual(vector(32, WIDTH, seed=1), 2),
        "heads": lambda: quantizers.Heads(vector(32, WIDTH // 2, seed=1), 2),
    }


def quantized_vae(kind, input_shape, units, likelihood, seed=0):
    """The model of a row: the same networks and prior whatever the quantizer."""
    return models.vq_vae(
        input_shape,
        network="residual",
        units=units,
        blocks=(0,) * (len(units) - 1) + (1,),
        # A Bernoulli likelihood takes logits. A sigmoid before a normal one starts black on digits
        # and stays so.
        output_activation=None if likelihood == "bernoulli" else "sigmoid",
        likelihood=likelihood,
        quantizer=kinds()[kind](),
        prior_channels=32,
        prior_depth=4,
        seed=seed,
        name=kind,
    )


def _table(title, data, input_shape, units, likelihood, epochs, prior_epochs):
    def rows():
        training = {
            "backend": "any",
            "epochs": epochs,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "weight_average": 0.99,
            "verbose": 2,
            "last": True,
            "prior": {"epochs": prior_epochs, "learning_rate": 2e-3},
        }
        arguments = {
            "input_shape": input_shape,
            "units": units,
            "likelihood": likelihood,
            "seed": 0,
        }
        return [
            {
                "name": kind,
                "published": {},
                "recipe": {
                    "model": {
                        "function": quantized_vae,
                        "arguments": {"kind": kind, **arguments},
                    },
                    "data": data,
                    "training": training,
                    "evaluation": {"samples": 1},
                },
            }
            for kind in kinds()
        ]

    return {
        "title": title,
        "paper": "ours",
        "measure": "codes",
        "notes": f"Residual networks of {units} channels, a gated PixelCNN of 4 layers of 32 "
        f"channels; {epochs} epochs in batches of 64 and {prior_epochs} more of the prior alone, "
        "with Adam from 0.002 and a cosine decay.",
        "unit": "",
        "rows": rows,
    }


QUANTIZED = {
    "quantizers_mnist": _table(
        "Quantizers of about ten bits per position, MNIST",
        "mnist",
        (28, 28, 1),
        (16, 32),
        "bernoulli",
        2,
        2,
    ),
    "quantizers_faces": _table(
        "Quantizers of about ten bits per position, faces of 64 × 64",
        "celeb_a_64",
        (64, 64, 3),
        (16, 32, 64),
        "optimal_normal",
        2,
        2,
    ),
}
TABLES.update(QUANTIZED)


def codes(model, recipe, split, limit, seed=0):
    """What codes cost, how evenly they are used, and what they are good for."""
    x, _ = recipes.data(recipe, split, model, limit)
    maps = model.encode(x)
    rebuilt = model.decode(maps)
    errors = np.square(x - rebuilt).reshape(len(x), -1).mean(axis=1)
    bits = -model.code_log_prob(maps).astype("float64") / np.log(2)
    places, q = np.prod(model.code_shape), model.quantizer.codes_per_position
    each = maps.reshape(-1, q).T
    used = [metrics.codebook_usage(stage, model.num_codes) for stage in each]
    features, what = frechet.features_of(recipe["data"])
    n = min(DRAWN, len(x))
    sets = {"samples": model.sample(n, seed=seed), "reconstructions": rebuilt[:n]}
    how = f"{split}, n = {len(x)}, seed {seed}"
    found = {
        "MSE": (errors.mean(), errors.std(ddof=1) / len(x) ** 0.5, how, 5),
        "bits per image": (places * np.log2(model.num_codes), None, "log2 of all codes", 0),
        "bits under the prior": (bits.mean(), bits.std(ddof=1) / len(x) ** 0.5, how, 1),
        "codes": (model.num_codes, None, f"{q} per position", 0),
        "perplexity": (np.mean([u.perplexity for u in used]), None, how, 1),
        "used, %": (100 * np.mean([u.used for u in used]), None, how, 1),
    }
    for name, pictures in sets.items():
        distance = metrics.frechet_distance(pictures, x[:n], features)
        found[f"Fréchet, {name}"] = (distance, None, f"{split}, n = {n}, {what}seed {seed}", 2)
    return {
        title: {
            "value": float(value),
            "standard_error": None if error is None else float(error),
            "how": how,
            "digits": digits,
        }
        for title, (value, error, how, digits) in found.items()
    }


def markdown(folder, name):
    """One table, or "" where nothing was measured."""
    path = Path(folder) / f"{name}.json"
    if not path.is_file():
        return ""
    table = json.loads(path.read_text(encoding="utf-8"))
    rows = table["rows"]
    titles = list(rows[0]["ours"])
    lines = [
        f"### {table['title']}",
        "",
        table["notes"],
        "",
        f"| row | {' | '.join(titles)} |",
        "|---" * (len(titles) + 1) + "|",
    ]
    for row in rows:
        lines.append(f"| {' | '.join([row['name'], *(_value(row['ours'][t]) for t in titles)])} |")
    first = rows[0]
    limit = f"first {first['limit']:,} examples of each split" if first["limit"] else "all examples"
    judged = first["ours"]["Fréchet, samples"]["how"]
    lines += [
        "",
        f"{limit[0].upper()}{limit[1:]}; MSE, bits, perplexity and use: "
        f"{first['ours']['MSE']['how']}; Fréchet distances: {judged}; ± is a standard error over "
        f"examples, of one training. {first['backend']} {first['made_with'][first['backend']]}, "
        f"{first['hardware']}. Row by row: `{first['command']}`"
        + (", with `--out` for the folder of a part of the data." if first["limit"] else "."),
    ]
    return "\n".join(lines)


def _value(figure):
    text = f"{figure['value']:.{figure['digits']}f}"
    error = figure["standard_error"]
    return text + (f" ± {error:.{figure['digits']}f}" if error else "")


def page(folder):
    """Writes the tables that were measured into the page of the quantizers."""
    from ..pages.readme import replaced

    text = PAGE.read_text(encoding="utf-8")
    tables = "\n\n".join(filter(None, (markdown(folder, name) for name in QUANTIZED)))
    _atomic.write_text(PAGE, replaced(text, "quantizers", tables or "Not measured yet."))
