"""Tables of `reproduce` as people see them: pictures of the trainings, and Markdown."""

import json
import textwrap
from pathlib import Path

from keras_vae import _atomic
from keras_vae.zoo import presets

from .quantized import QUANTIZED
from .tables import TABLES

FOLDER = next((f for f in presets._FOLDERS if f.is_dir()), presets._FOLDERS[-1]) / "reproduce"


def plot(folder, name):
    """`<name>.png`: losses on validation by epoch, and what was measured and published."""
    from matplotlib.figure import Figure

    table = json.loads((Path(folder) / f"{name}.json").read_text(encoding="utf-8"))
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    if not any(row.get("validation_curve") for row in table["rows"]):
        return
    if name in QUANTIZED:
        # Its columns have no scale in common.
        return
    # Only bounds in nats are of the loss's own scale, and of one scale in all rows.
    draw = _bounds if any("NLL" in row["ours"] for row in table["rows"]) else _scores
    draw(figure, table["rows"])
    figure.suptitle(table["title"], fontsize=9)
    with _atomic.file(Path(folder) / f"{name}.png") as new:
        figure.savefig(new, dpi=100)


def _bounds(figure, rows):
    """All rows in one plot, with the bound on test data and the published one."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes = figure.add_subplot()
    for i, row in enumerate(rows):
        color, shown = f"C{i}", []
        if row.get("validation_curve"):
            shown += axes.plot(*zip(*row["validation_curve"], strict=True), color=color)
        if "NLL" in row["ours"]:
            shown += axes.plot(row["epochs"], row["ours"]["NLL"]["value"], "o", color=color)
        if "NLL" in row["published"]:
            axes.axhline(row["published"]["NLL"], color=color, ls="--")
        if shown:
            shown[0].set_label(row["name"])
    # The first epochs are far above what is to be seen.
    lines = [line.get_ydata() for line in axes.lines]
    lowest = [min(values) for values in lines]
    bottom, top = min(lowest), min(max(map(max, lines)), max(lowest) + 25)
    margin = 0.05 * (top - bottom)
    axes.set_ylim(bottom - margin, top + margin)
    for look, label in (("-", "validation loss"), ("o", "NLL, test"), ("--", "NLL, published")):
        axes.plot([], [], look, color="gray", label=label)
    axes.set(xscale="log", xlabel="epochs", ylabel="nats")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(fontsize=8)


def _scores(figure, rows):
    """What was measured of each row side by side, and each loss on a scale of its own."""
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
    titles = list(dict.fromkeys(title for row in rows for title in row["ours"]))
    axes, height = left.add_subplot(), 0.8 / len(rows)
    for i, row in enumerate(rows):
        shown = [title for title in titles if title in row["ours"]]
        places = [titles.index(title) + i * height for title in shown]
        values = [row["ours"][title]["value"] for title in shown]
        bars = axes.barh(places, values, height, color=f"C{i}", label=row["name"])
        digits = [row["ours"][title]["digits"] for title in shown]
        labels = [f"{v:.{d}f}" for v, d in zip(values, digits, strict=True)]
        axes.bar_label(bars, labels, padding=2, fontsize=7)
    names = [textwrap.fill(title, 20) for title in titles]
    axes.set_yticks([k + 0.4 - height / 2 for k in range(len(titles))], names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    left.legend(loc="outside lower center", ncols=len(rows), fontsize=8)
    for i, row in enumerate(rows):
        axes = right.add_subplot(len(rows), 1, i + 1)
        epochs, losses = zip(*row.get("validation_curve") or [(0, 0)], strict=True)
        axes.plot(epochs, losses, ".-", color=f"C{i}")
        # The first epochs, which may be far above the others, need not be seen.
        later = losses[len(losses) // 3 :]
        margin = 0.05 * (max(later) - min(later)) or 1
        axes.set_ylim(min(later) - margin, max(later) + margin)
        axes.set_title(f"{row['name']}, validation loss", fontsize=8)
        axes.tick_params(labelsize=7, labelbottom=i == len(rows) - 1)
    axes.set_xlabel("epochs", fontsize=8)


def read(name, folder=FOLDER):
    """Rows of a table that were measured, by their names."""
    path = Path(folder) / f"{name}.json"
    if not path.is_file():
        return {}
    return {row["name"]: row for row in json.loads(path.read_text(encoding="utf-8"))["rows"]}


def line(row):
    """The figures of a row in a line."""
    return f"{row['name']}: " + "; ".join(
        f"{title} {_value(figure)}" for title, figure in row["ours"].items()
    )


def _value(figure):
    text = f"{figure['value']:.{figure['digits']}f}"
    return text + (f" ± {figure['standard_error']:.2f}" if figure["standard_error"] else "")


# A row with a smaller part of the paper's epochs says that the code runs, and little of the paper.
ENOUGH = 0.2
_FOLDED = {
    "en": "Less than a fifth of the paper's epochs",
    "es": "Menos de una quinta parte de las épocas del artículo",
}


def is_shown(row):
    """Whether a row had enough of the paper's epochs, or says why what it had is enough.

    The latter is the row's `explained`: a sentence about its curve.
    """
    return row["epochs"] >= ENOUGH * row["paper_epochs"] or bool(row.get("explained"))


def markdown(folder=FOLDER, names=None, language="en"):
    """Tables that were measured as Markdown: ours beside what is published.

    Tables with rows in the open come first; other rows are folded below.
    """
    parts = []
    for name in names or [name for name in TABLES if name not in QUANTIZED]:
        path = Path(folder) / f"{name}.json"
        if not path.is_file():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        lines = [f"**{found['title']}** ({found['paper']}). {found['notes']}"]
        front = [row for row in found["rows"] if is_shown(row)]
        folded = [row for row in found["rows"] if not is_shown(row)]
        picture = (Path(folder) / f"{name}.png").is_file()
        image = ["", f"![{found['title']}: training]({name}.png)"] if picture else []
        if front:
            lines += ["", *_rows(front), *image]
        if folded:
            summary = (
                f"<summary>{_FOLDED[language]}: {', '.join(r['name'] for r in folded)}</summary>"
            )
            lines += ["", "<details>", summary, "", *_rows(folded)]
            lines += [*([] if front else image), "", "</details>"]
        parts.append((not front, "\n".join(lines)))
    return "\n\n".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def _rows(rows):
    lines = [
        "| row | | published | ours | epochs of the paper's | how |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        epochs = f"{row['epochs']} of {row['paper_epochs']}"
        # Figures that were found alike share a line.
        for how in dict.fromkeys(figure["how"] for figure in row["ours"].values()):
            figures = {k: f for k, f in row["ours"].items() if f["how"] == how}
            published = [row["published"].get(title, "-") for title in figures]
            ours = map(_value, figures.values())
            columns = ("<br>".join(map(str, c)) for c in (figures, published, ours))
            how = f"{how}; {row['backend']}, {row['hardware']}: `{row['command']}`"
            if row.get("explained"):
                how = f"{row['explained']} {how}"
            lines.append(f"| {' | '.join((row['name'], *columns, epochs, how))} |")
    return lines
