"""`evaluate`: measures a preset and writes what it found into it."""

import dataclasses
import pathlib

import keras
import numpy as np

from keras_vae import (
    _atomic,
    datasets,
    likelihoods,
    metrics,
    similarity,
    zoo,
)
from keras_vae.zoo import description

from ..judges import frechet
from ..judges.classifier import classifier, judged, probabilities
from . import autoencoders, card, codes, edits, imputation, recipes, series, structure
from . import on_request as more


@dataclasses.dataclass(frozen=True)
class Case:
    """A preset and a split of its data, which every measure is given."""

    folder: pathlib.Path
    recipe: dict
    model: keras.Model
    x: np.ndarray
    y: np.ndarray | None
    split: str
    samples: int
    seed: int
    command: str

    def entry(self, title, value, error=None, unit="nats", how="", digits=2):
        """An entry of the metadata from a title, a value and how it was found."""
        return {
            "title": title,
            "value": float(value),
            "standard_error": None if error is None else float(error),
            "unit": unit,
            "digits": digits,
            "how": f"{self.split}, n = {len(self.x)}, {how}seed {self.seed}",
            "split": self.split,
            "n": len(self.x),
            "samples": self.samples,
            "seed": self.seed,
            "command": self.command,
        }

    def edited(self):
        """The case with the examples whose edits are measured: the recipe's first ones, or all.

        A model that carries codes by a flow takes ten passes of it for ten edits.
        """
        first = self.recipe["evaluation"].get("edited")
        y = None if self.y is None else self.y[:first]
        return dataclasses.replace(self, x=self.x[:first], y=y)


def evaluate(name, split="test", samples=None, limit=None, seed=0, write=True, only=None):
    """Measures a preset on a split that it was not trained on.

    Args:
        name: a preset's name or folder, with its recipe.
        split: "validation" or "test".
        samples: K of the importance-weighted bound; the recipe's by default.
        limit: the first examples only; nothing is written then.
        seed: of the noise and of dynamic binarisation.
        write: put the figures into the preset's metadata and card.
        only: some of `MEASURES` and `MORE`; by default the recipe's `measures`, or else all
            of `MEASURES`. What was measured before and is none of them stays in the metadata.

    Returns:
        List of metrics, as they stand in the metadata.

    Raises:
        ValueError: an unknown measure, or one that this model has not.
    """
    folder = zoo.folder(name)
    recipe = recipes.read(folder)
    known = {**MEASURES, **MORE}
    chosen = recipe["evaluation"].get("measures") if only is None else only
    if chosen is not None and (not chosen or not set(chosen) <= set(known)):
        raise ValueError(
            f"Measures are {', '.join(known)}. Received: {', '.join(chosen) or 'none'}"
        )
    model = zoo.load(folder)
    x, y = recipes.data(recipe, split, model, limit)
    samples = samples or recipe["evaluation"]["samples"]
    command = f"python -m tools evaluate {folder.name}"
    if split != "test":
        command += f" --split {split}"
    if samples != recipe["evaluation"]["samples"]:
        command += f" --samples {samples}"
    if seed:
        command += f" --seed {seed}"
    if only is not None:
        command += f" --metric {' '.join(only)}"

    case = Case(folder, recipe, model, x, y, split, samples, seed, command)
    found = []
    for measure in MEASURES if chosen is None else chosen:
        part = known[measure](case)
        if chosen is not None and not part:
            raise ValueError(
                f"There is nothing to measure of {folder.name} in that way. Received: {measure!r}"
            )
        for metric in part:
            print(description.describe_metric(metric), flush=True)
        found += part
    if chosen is None and _bounded(case):
        print(metrics.collapse_report(model, x[:1000], None if y is None else y[:1000]))
    if write and limit is None:
        measured = {metric["title"] for metric in found}

        def keep(old):
            if old["split"] != split or old.get("extra"):
                return True
            return only is not None and old["title"] not in measured

        record(folder, found, keep)
    return found


def _quantized(case):
    return case.model.codes_are_integers


def _bounded(case):
    """Whether it has a bound: a loss of pictures is no density, and bounds nothing."""
    return case.model.has_bound and not _quantized(case)


def _of_codes(case):
    if not _quantized(case):
        return []
    return codes.measured(case.model, case.x, case.y, case.recipe["data"], case.entry, case.seed)


def _bytes(case):
    """What a picture takes as codes, where that is what the preset is for."""
    if not case.recipe["evaluation"].get("compressor"):
        return []
    return codes.compared(case.model, case.x, case.y, case.entry)


def _unless_quantized(measure):
    """What of a VQ-VAE is among the measures of its codes, or has no meaning."""
    return lambda case: [] if _quantized(case) else measure(case)


def _bounds(case):
    """Metrics of the likelihood, in nats."""
    if not _bounded(case):
        return []
    model, x, y, entry = case.model, case.x, case.y, case.entry
    samples, seed = case.samples, case.seed
    bound = metrics.log_likelihood(model, x, y, samples, seed)
    title = "NLL" + _what_is_scored(model.likelihood, series.are_series(case.recipe["data"]))
    found = [entry(title, -bound.mean, bound.standard_error, how=f"K = {samples}, ")]
    estimates = metrics.elbo(model, x, y, seed=seed)
    for title, key, sign in (
        ("-ELBO", "elbo", -1),
        ("reconstruction", "reconstruction", -1),
        ("KL", "kl", 1),
    ):
        mean, error, *_ = estimates[key]
        found.append(entry(title, sign * mean, error, how="1 sample, "))
    return found


def _reconstruction(case):
    # Where values are missing, of those that are not.
    error = np.nanmean(np.square(case.model.reconstruct(case.x, case.y) - case.x))
    active = metrics.active_units(case.model, case.x, case.y)
    title = f"active units of {active.size}"
    return [
        case.entry("reconstruction MSE", error, unit=_unit(case), digits=5),
        case.entry(title, active.sum(), unit="", digits=0),
    ]


def _unit(case):
    numbers = case.model.likelihood.tables or series.are_series(case.recipe["data"])
    return "a value" if numbers else "a pixel"


def _of_autoencoder(case):
    if case.model.posterior_layer.has_density:
        return []
    return autoencoders.measured(
        case.folder, case.model, case.recipe, case.x, case.y, case.entry, case.seed
    )


def _labels(case):
    if not case.model.takes_labels:
        return []
    agreed, accuracy, n = agreement(case.model, case.recipe["data"], case.seed)
    metric = case.entry("asked label read by a classifier", 100 * agreed, unit="%", digits=1)
    metric["how"] = (
        f"{n} samples of each label, seed {case.seed}; the classifier, trained on the "
        f"training split, reads {100 * accuracy:.2f} % of the test split"
    )
    return [metric]


def _structure(case):
    return structure.measured(case.model, case.recipe, case.x, case.split, case.entry)


def _gaps(case):
    return imputation.measured(case.model, case.recipe, case.x, case.split, case.entry, case.seed)


def _looks(case):
    """How near reconstructions and samples come to the split's pictures."""
    model, x, y, entry = case.model, case.x, case.y, case.entry
    data = case.recipe["data"]
    if np.isnan(x).any():
        return []
    rebuilt = model.reconstruct(x, y)
    scales = similarity.scales_of(*model.data_shape[:2])
    similar = metrics.ms_ssim(x, np.clip(rebuilt, 0, 1)).mean()
    found = [entry(f"MS-SSIM ({scales} scales)", similar, unit="", digits=4)]
    sets = {"reconstructions": rebuilt}
    drawn = more.samples(case)
    if drawn is not None:
        sets["samples"] = drawn
        if datasets.info(data).classes:
            found += judged(drawn, None, x, data, entry)
    if model.takes_attributes:
        of = case.edited()
        sets["edits"] = edits.switched(model, of.x, of.y)
    return found + frechet.distances(data, x, sets, entry)


def _baseline(case):
    """The figure of another preset that this one is held against, as it was measured."""
    settings, split = case.recipe["evaluation"], case.split
    title, name = settings.get("headline"), settings.get("baseline")
    if name is None:
        return []
    metrics_of = zoo.info(name)["metrics"] if name in zoo.list_models() else ()
    for metric in metrics_of:
        if metric["title"] == title and metric["split"] == split:
            return [{**metric, "title": f"{title} of {name}"}]
    print(f"Not compared with {name}: it has no {title!r} of the {split} split yet.")
    return []


def _what_is_scored(likelihood, in_time=False):
    """Only binary pixels have a likelihood that papers can be compared by."""
    if likelihood.tables:
        return " (density of standardised columns)"
    if in_time:
        return " (density of a series)"
    if likelihood.missing:
        return " (pixels that are shown)"
    if isinstance(likelihood, likelihoods.Bernoulli):
        return "" if likelihood.dynamic else " (cross-entropy of grey pixels)"
    return " (density of grey pixels)"


def agreement(model, data, seed=0, n=100):
    """How often a classifier reads the label that samples were asked for.

    Returns:
        `(agreed, accuracy, n)`: the part of samples, the classifier's accuracy on
        the real test split, and the samples of each label.
    """
    judge, accuracy = classifier(data)
    asked = np.repeat(np.arange(model.condition.num_classes), n)
    drawn = model.sample(len(asked), condition=asked, seed=seed)
    return (probabilities(judge, drawn).argmax(-1) == asked).mean(), accuracy, n


def record(folder, found, keep):
    """Replaces metrics in a preset's metadata, keeping those that `keep` says.

    What was there before and is measured again keeps its place.
    """
    metadata, merged = dict(zoo.info(folder)), []
    fresh = {(metric["title"], metric["split"]): metric for metric in found}
    for old in metadata["metrics"]:
        key = (old["title"], old["split"])
        if keep(old):
            merged.append(old)
        elif key in fresh:
            merged.append(fresh.pop(key))
    metadata["metrics"] = merged + list(fresh.values())
    write_metadata(folder, metadata)
    card.write(folder)


def write_metadata(folder, metadata):
    """Replaces a preset's metadata, whole or not at all."""
    _atomic.write_text(folder / description.METADATA, description.dump_json(metadata))


MEASURES = {
    "codes": _of_codes,
    "bound": _unless_quantized(_bounds),
    "reconstruction": _unless_quantized(_reconstruction),
    "autoencoder": _unless_quantized(_of_autoencoder),
    "labels": _unless_quantized(_labels),
    "structure": _unless_quantized(_structure),
    "bytes": _bytes,
    "imputation": _unless_quantized(_gaps),
    "series": _unless_quantized(series.measured),
    "attributes": _unless_quantized(lambda case: edits.control(case.edited())),
    "pictures": _unless_quantized(_looks),
    "baseline": _unless_quantized(_baseline),
}
# On request, as they take long or matter to few.
MORE = {
    "bits": lambda case: more.bits(case) if _bounded(case) else [],
    "information": lambda case: more.information(case) if _bounded(case) else [],
    "psnr": _unless_quantized(more.psnr),
    "kernel": more.kernel,
    "precision": more.precision,
    "smiles": _unless_quantized(lambda case: edits.smiles(case.edited())),
    "disentanglement": _unless_quantized(more.disentanglement),
}
