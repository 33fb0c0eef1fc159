"""`train --all`: trains, measures and exports preset after preset, and goes on where it was."""

import json
import subprocess
import sys
import time

from keras_vae import _atomic

from . import recipes


def rebuild(pattern="*", restart=False, epochs=None, limit=None, run=subprocess.call):
    """Rebuilds every preset whose name fits, each step in a process of its own.

    A preset is trained on the backend that its recipe names, then measured on the test
    split, then exported in every variant. Which presets are done is kept beside them,
    so that the same command goes on where it was interrupted.

    Args:
        pattern: of the presets' names.
        restart: forget what an interrupted run has done.
        epochs, limit: as `train`; nothing is measured or exported with them.
        run: takes a command and returns its exit status.

    Returns:
        0, or 1 where a preset failed; the others are made all the same.

    Raises:
        ValueError: no recipe's name fits.
    """
    wanted = _ordered(recipes.names(pattern))
    if not wanted:
        raise ValueError(f"No recipe fits. Received: pattern={pattern!r}")
    notes = recipes.find(wanted[0]).parent / ".runs" / "rebuilt.json"
    if restart:
        notes.unlink(missing_ok=True)
    done = json.loads(notes.read_text()) if notes.is_file() else []
    failed = []
    for i, name in enumerate(wanted):
        head = f"[{i + 1} of {len(wanted)}] {name}"
        if name in done:
            print(f"{head}: done.")
            continue
        started = time.monotonic()
        for step in _steps(name, restart, epochs, limit):
            print(f"{head}: {' '.join(step)}", flush=True)
            if run([sys.executable, "-m", __package__.rpartition(".")[0], *step]):
                failed.append(name)
                break
        else:
            done.append(name)
            notes.parent.mkdir(exist_ok=True)
            _atomic.write_text(notes, json.dumps(done))
            print(f"{head}: {(time.monotonic() - started) / 60:.1f} min.", flush=True)
    if failed:
        print(f"Failed, and left as they were: {', '.join(failed)}")
        return 1
    # The next call is another round.
    notes.unlink(missing_ok=True)
    return 0


def _ordered(names):
    """Names in which what others start from or are compared with comes first."""
    bases = set()
    for name in names:
        recipe = recipes.read(recipes.find(name))
        settings = recipe["evaluation"]
        bases |= {settings.get("compare"), settings.get("baseline")}
        bases |= {recipe["training"].get("start")}
    return sorted(names, key=lambda name: (name not in bases, name))


def _steps(name, restart, epochs, limit):
    """What is to be done for a preset, as arguments of the command line."""
    backend = recipes.read(recipes.find(name))["training"]["backend"]
    train = ["--backend", backend, "train", name]
    train += ["--restart"] if restart else []
    if epochs or limit:
        train += ["--epochs", str(epochs)] if epochs else []
        return [train + (["--limit", str(limit)] if limit else [])]
    return [train, ["evaluate", name], ["export", "--all", name, "--record"]]
