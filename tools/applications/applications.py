"""`apply`: measures what codes are good for and writes one table of it."""

import itertools
import json
from pathlib import Path

from keras_vae import _atomic
from keras_vae.zoo import description, presets

from . import uses

NAMES = ("compression", "classification", "anomalies", "denoising", "outliers", "synthetic")
# Not among "all": these need packages of others, which no extra of this one installs.
ALONE = ("synthetic",)
FOLDER = next((f for f in presets._FOLDERS if f.is_dir()), presets._FOLDERS[-1]) / "applications"
TABLE = "table.json"


def apply(name, out=None, split="test", limit=None, seed=0, **options):
    """Measures one application, or "all" of them, and puts it into the table.

    Args:
        name: one of `NAMES`, or "all", which leaves out those of `ALONE`.
        out: folder of the table and of the pictures; `zoo/applications` by default.
        split: "test", or "validation" while something is still being chosen.
        limit: the first examples of each split only; nothing is written then, unless
            `out` is given.
        seed: of weights, batches and noise.
        **options: of that application's function in `uses`; None of them counts as not
            given.

    Returns:
        List of entries, which hold what the table holds.

    Raises:
        ValueError: unknown name, or options for "all".
    """
    options = {key: value for key, value in options.items() if value is not None}
    if name == "all":
        if options:
            raise ValueError(f"Options are those of one application. Received: {sorted(options)}")
        together = (each for each in NAMES if each not in ALONE)
        return sum((apply(each, out, split, limit, seed) for each in together), [])
    if name not in NAMES:
        raise ValueError(f"`name` must be one of {(*NAMES, 'all')}. Received: name={name!r}")
    folder = Path(out) if out else None if limit else FOLDER
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    print(f"{name}:")
    found = [
        _entry(name, title, value, split, limit, seed, options, **rest)
        for title, value, rest in getattr(uses, name)(split, limit, seed, folder, **options)
    ]
    for entry in found:
        print("  " + description.describe_metric(entry))
    if folder is not None:
        entries = [e for e in read(folder) if e["application"] != name or e["split"] != split]
        _atomic.write_text(folder / TABLE, description.dump_json({"entries": entries + found}))
    return found


def _entry(name, title, value, split, limit, seed, options, unit="", digits=2, error=None, how=""):
    command = f"python -m tools apply {name}"
    for key, given in (("split", split if split != "test" else None), ("limit", limit),
                       ("seed", seed or None), *options.items()):  # fmt: skip
        if given is not None:
            words = given if isinstance(given, (list, tuple)) else [given]
            command += f" --{key} {' '.join(map(str, words))}"
    examples = "" if limit is None else f"first {limit} examples, "
    return {
        "application": name,
        "title": title,
        "value": float(value),
        "standard_error": None if error is None else float(error),
        "unit": unit,
        "digits": digits,
        "how": f"{split}, {examples}{how}seed {seed}",
        "split": split,
        "seed": seed,
        "command": command,
    }


def read(folder=FOLDER):
    """Entries of a folder's table; none where there is no table yet."""
    path = Path(folder) / TABLE
    if not path.is_file():
        return []
    return json.loads(path.read_text(encoding="utf-8"))["entries"]


def markdown(folder=FOLDER):
    """The table as Markdown, or "" where there is none."""
    entries = read(folder)
    if not entries:
        return ""
    parts = []
    for name, group in itertools.groupby(entries, key=lambda e: e["application"]):
        group = [*group]
        lines = ["| | value | how | command |", "|---|---|---|---|", *map(_row, group)]
        # Folded: of some there are as many rows as presets.
        summary = f"<summary>{name} ({len(group)} figures)</summary>"
        picture = (Path(folder) / f"{name}.png").is_file()
        image = [f"![{name}]({name}.png)", ""] if picture else []
        parts += [*image, "<details>", summary, "", *lines, "", "</details>", ""]
    return "\n".join(parts[:-1])


def _row(entry):
    value = f"{entry['value']:.{entry['digits']}f}"
    if entry["standard_error"]:
        value += f" ± {entry['standard_error']:.2f}"
    value = f"{value} {entry['unit']}".strip()
    return f"| {entry['title']} | {value} | {entry['how']} | `{entry['command']}` |"
