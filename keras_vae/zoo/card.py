"""Model cards for the Hugging Face Hub: a text with a YAML head, which its search reads.

`library_name` is `keras` for presets: the hub knows a fixed list of libraries, each with code
for its users, and for Keras that is `keras.saving.load_model` of "hf://user/repo", which loads
these folders as soon as keras_vae is imported. Folders of diffusers are of `diffusers`. What
the hub has no library for is a tag: `keras-vae`.
"""

import math
import re

_LICENCES = {
    **{name: name for name in ("mit", "apache-2.0", "bsd-3-clause", "cc0-1.0", "openrail")},
    **{"apache 2.0": "apache-2.0", "cc by 4.0": "cc-by-4.0", "cc by-sa 4.0": "cc-by-sa-4.0"},
    **{"cc by-nc 4.0": "cc-by-nc-4.0", "cc by-sa 3.0": "cc-by-sa-3.0"},
    **{name: name for name in ("cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-sa-3.0")},
}
# Names of data sets on the hub, by the words that `data` of the metadata begins with.
_DATA = {
    "MNIST": "ylecun/mnist",
    "Fashion-MNIST": "zalando-datasets/fashion_mnist",
    "CIFAR-10": "uoft-cs/cifar10",
}


def head(info, repository=None, generates=None):
    """What a card's head says, as a dict; only what the metadata knows.

    Args:
        info: metadata of a preset, or `FolderInfo`.
        repository: "user/repo", whose last part names the model; the metadata's by default.
        generates: whether the model samples new examples; None where that is unknown.
    """
    theirs = info.get("format") == "diffusers"
    shape = info["input"]["shape"]
    found = {"library_name": "diffusers" if theirs else "keras"}
    if generates and len(shape) == 3 and not info.get("condition"):
        found["pipeline_tag"] = "unconditional-image-generation"
    found["tags"] = ["keras-vae", "vae", "variational-autoencoder"]
    found["tags"] += [info["class"]] if theirs else []
    found |= _licence(info.get("licence"))
    data = _data(info)
    if data:
        found["datasets"] = data
    index = _model_index(info, repository, data[0] if data else None, found.get("pipeline_tag"))
    if index:
        found["metrics"] = list(dict.fromkeys(m["type"] for m in index[0]["results"][0]["metrics"]))
        found["model-index"] = index
    return found


def with_head(text, found):
    """A card with a head, unless it has one."""
    return text if text.startswith("---\n") else f"---\n{to_yaml(found)}---\n\n{text}"


def body(name, info, source):
    """A short card for a model that has none."""
    there = (
        f"\nIt is a folder of diffusers: `diffusers.{info['class']}.from_pretrained`.\n"
        if info.get("format") == "diffusers"
        else ""
    )
    return (
        f"# {name}\n\n```python\nimport keras_vae\n\nmodel = keras_vae.zoo.load({source!r})\n"
        f"```\n\n```\n{info}\n```\n{there}"
    )


def to_yaml(value, indent=""):
    """YAML in blocks of a dict of dicts, lists, texts and numbers."""
    lines = ""
    for key, item in value.items():
        lines += f"{indent}{key}:" + _item(item, indent)
    return lines


def _item(item, indent):
    if isinstance(item, dict):
        return "\n" + to_yaml(item, indent + "  ")
    if isinstance(item, list):
        text = "\n"
        for value in item:
            if isinstance(value, dict):
                # The first key follows the dash.
                text += f"{indent}- " + to_yaml(value, indent + "  ").lstrip(" ")
            else:
                text += f"{indent}- {_scalar(value)}\n"
        return text
    return f" {_scalar(item)}\n"


def _scalar(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        # YAML takes 1e-05 for a text: a number needs a point.
        text = repr(value)
        return text if "." in text else text.replace("e", ".0e")
    return '"' + "".join(_escaped(character) for character in str(value)) + '"'


def _escaped(character):
    if character in '"\\':
        return "\\" + character
    # Controls, line ends of Unicode and halves of pairs.
    if character.isprintable() or character == " ":
        return character
    return f"\\U{ord(character):08x}"


def _licence(licence):
    if not isinstance(licence, str) or not licence:
        return {}
    known = _LICENCES.get(licence.strip().lower())
    return {"license": known} if known else {"license": "other", "license_name": "see-the-card"}


def _data(info):
    """Names of data sets on the hub: those of `datasets`, or the one that `data` begins with."""
    given = info.get("datasets")
    if isinstance(given, (list, tuple)):
        return [str(name) for name in given]
    text = info.get("data") if isinstance(info.get("data"), str) else ""
    return [name for start, name in _DATA.items() if re.match(rf"{start}(?![\w-])", text)]


def _model_index(info, repository, data, task):
    metrics = [
        {
            "type": re.sub(r"[^a-z0-9]+", "_", str(metric.get("title", "")).lower()).strip("_"),
            "value": metric["value"],
            "name": " ".join(filter(None, (metric.get("title"), _unit(metric)))),
        }
        for metric in info.get("metrics") or []
        if isinstance(metric.get("value"), (int, float)) and math.isfinite(metric["value"])
    ]
    metrics = [metric for metric in metrics if metric["type"]]
    if not metrics or data is None:
        return None
    return [
        {
            "name": repository.split("/")[-1] if repository else info["name"],
            "results": [
                {
                    "task": {"type": task or "image-feature-extraction"},
                    "dataset": {"type": data, "name": data, "split": "test"},
                    "metrics": metrics,
                }
            ],
        }
    ]


def _unit(metric):
    return f"({metric['unit']})" if metric.get("unit") else ""
