"""`python -m tools.checks.fuzz`: presets changed at random load as they were, or are refused.

Each case takes a tiny preset (a folder, a `.keras` file, or with `--kind diffusers` a folder of
diffusers), changes it in one to three
ways, mostly with the hashes set right again as an attacker would, and loads it. It must
be the original model, or raise a ValueError or OSError that says what was received; run
nothing, write nothing outside, and stay within the limits of time and memory.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import h5py
import numpy as np

from tools.checks import fuzz_diffusers, fuzz_kinds

SECONDS, BYTES = 10, 2 * 2**30
OUTSIDE = Path(tempfile.gettempdir()) / "keras_vae_outside"
HOSTILE = [
    {"module": "os", "class_name": "system", "config": "true", "registered_name": None},
    {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "eval"},
    {"module": "keras.layers", "class_name": "Lambda", "config": {}, "registered_name": None},
    {"module": "keras.utils", "class_name": "get_file", "config": {}, "registered_name": None},
    {"module": "keras.layers", "class_name": "deserialize", "config": {"config": {}}},
    {"class_name": "__lambda__", "config": {"value": "4wEAAAA=", "code": "4wEAAAA="}},
    {"class_name": "__numpy__", "config": {"value": [1, 2], "dtype": "object"}},
]
VALUES = [
    *(None, True, False, 0, 1, -1, 3, 2**24, 2**31, 2**63, 10**30, 0.5, 1e308, -1e-308),
    *(
        "",
        "x",
        "keras",
        "Dense",
        "relu",
        "float16",
        "int32",
        "string",
        "../../etc/passwd",
        "\u0000",
    ),
    *([], [1], [None, 2**20, 2**20], [10**9] * 3, {}, {"a": {"b": []}}),
    *HOSTILE,
]


def base(folder):
    """A tiny preset, and the same model as Keras saves it."""
    from keras_vae import models, zoo

    model = models.vae((4, 4, 1), 2, units=(3,), likelihood="normal", seed=0)
    model.compile("adam")
    zoo.save(model, folder / "preset")
    model.save(folder / "model.keras")
    return model


def changed(source, target, rng):
    """A copy of the preset with something changed; whether its hashes are still the old ones."""
    archived = rng.random() < 0.3
    files = target / "files"
    if archived:
        with zipped(source / "model.keras") as archive:
            archive.extractall(files)
    else:
        shutil.copytree(source / "preset", files)
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    for _ in range(rng.integers(1, 4)):
        CHANGES[rng.integers(len(CHANGES))](files, rng)
    same = all(before.get(p.name) == _bytes(p) for p in files.iterdir() if p.name in before)
    if archived:
        return pack(files, target / "model.keras", rng), same and len(before) == _count(files)
    honest = rng.random() < 0.2
    if not honest:
        set_hashes(files)
    return files, same or honest


def _count(folder):
    return sum(1 for _ in folder.iterdir())


def _bytes(path):
    small = path.is_file() and not path.is_symlink() and path.stat().st_size < 2**24
    return path.read_bytes() if small else None


def zipped(path, mode="r"):
    import zipfile

    return zipfile.ZipFile(path, mode)


def pack(files, path, rng):
    """A `.keras` file of them, sometimes with a member that leaves it, or damaged."""
    with zipped(path, "w") as archive:
        for file in sorted(files.iterdir()):
            if (content := _bytes(file)) is not None:
                archive.writestr(file.name, content, compress_type=8 * int(rng.integers(2)))
        for name in ("../outside", str(OUTSIDE), "assets/a", "config.json"):
            if rng.random() < 0.03:
                archive.writestr(name, b"{}")
    if rng.random() < 0.2:
        fuzz_kinds.change_archive(path, rng)
    if rng.random() < 0.3:
        path.write_bytes(damaged(path.read_bytes(), rng))
    return path


def set_hashes(files):
    """What an attacker does who can count: hashes of the changed files."""
    import hashlib

    try:
        metadata = json.loads(_bytes(files / "metadata.json") or b"")
        for name in metadata["sha256"]:
            metadata["sha256"][name] = hashlib.sha256(_bytes(files / name)).hexdigest()
        (files / "metadata.json").write_text(json.dumps(metadata))
    except (ValueError, TypeError, KeyError, OSError, RecursionError):
        pass


def damaged(content, rng):
    """Bytes flipped, cut out, doubled, zeroed or put in."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 8)):
        start = int(rng.integers(len(data) + 1))
        end = min(len(data), start + int(rng.integers(1, 64)))
        kind = rng.integers(5)
        if kind == 0 and start < len(data):
            data[start] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del data[start:end]
        elif kind == 2:
            data[start:start] = data[start:end]
        elif kind == 3:
            data[start:end] = bytes(end - start)
        else:
            data[start:end] = rng.bytes(end - start)
    return bytes(data[: int(rng.integers(len(data) + 1))] if rng.random() < 0.1 else data)


def _some_file(files, rng, ending=""):
    found = sorted(p for p in files.iterdir() if p.name.endswith(ending) and _bytes(p) is not None)
    return found[rng.integers(len(found))] if found else None


def change_bytes(files, rng):
    if path := _some_file(files, rng):
        path.write_bytes(damaged(path.read_bytes(), rng))


def change_json(files, rng):
    """A value of configuration or metadata replaced, removed, doubled or moved."""
    path = _some_file(files, rng, ".json")
    if path is None:
        return
    try:
        value = json.loads(path.read_bytes())
        places = []

        def visit(item):
            keys = item.keys() if isinstance(item, dict) else range(len(item))
            for key in keys:
                places.append((item, key))
                if isinstance(item[key], (dict, list)):
                    visit(item[key])

        visit(value)
        where, key = places[rng.integers(len(places))]
        other, its = places[rng.integers(len(places))]
        kind = rng.integers(5)
        if kind == 0:
            del where[key]
        elif kind == 1:
            where[key] = json.loads(json.dumps(other[its]))
        elif kind == 2 and isinstance(where[key], int):
            where[key] = where[key] * 10 ** int(rng.integers(1, 12))
        elif kind == 3:
            deep = where[key]
            for _ in range(rng.integers(1, 300)):
                deep = [deep] if rng.random() < 0.5 else {"config": deep}
            where[key] = deep
        else:
            where[key] = VALUES[rng.integers(len(VALUES))]
        path.write_text(json.dumps(value))
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass


def change_weights(files, rng):
    """An array replaced by one of another shape or type, by a link, or by nothing."""
    path = files / "model.weights.h5"
    if _bytes(path) is None:
        return
    try:
        with h5py.File(path, "r+") as file:
            names = []
            file.visit(names.append)
            name = names[rng.integers(len(names))]
            kind = rng.integers(9)
            if kind != 8:
                del file[name]
            if kind == 1:
                file[name] = h5py.ExternalLink("/etc/hosts.h5", "/")
            elif kind == 2:
                file[name] = h5py.SoftLink("/")
            elif kind == 3:
                size = int(rng.integers(1, 10**6))
                file.create_dataset(name, (size,) * 3, "f4", chunks=(1, 1, min(size, 1000)))
            elif kind == 4:
                file.create_dataset(name, (4, 3), "f4", external=[("/etc/hosts", 0, 48)])
            elif kind == 5:
                values = np.full([(3,), (4, 3), (), (0,), (48,)][rng.integers(5)], np.nan)
                file[name] = values.astype(["f2", "f4", "f8", "i1", "c8"][rng.integers(5)])
            elif kind == 6:
                file[name] = file["/"]
            elif kind == 7:
                file.create_dataset(name, data=np.zeros(2**22), compression="gzip")
            elif kind == 8:
                file[name].attrs["dtype"] = ["bfloat16", "x" * 5000, b"\xff"][rng.integers(3)]
    except Exception:  # a file that is damaged already
        pass


def change_files(files, rng):
    """A file removed, or something else in its place."""
    path = _some_file(files, rng)
    if path is None:
        return
    content = path.read_bytes()
    path.unlink()
    kind = rng.integers(6)
    if kind == 0:
        path.symlink_to("/etc/passwd")
    elif kind == 1:
        (files.parent / "beside").write_bytes(content)
        path.symlink_to("../beside")
    elif kind == 2:
        path.mkdir()
    elif kind == 3:
        os.mkfifo(path)
    elif kind == 4:
        path.write_bytes(content)
        os.truncate(path, 2**26)
    else:
        (files / "more").write_bytes(content)


# Of the kinds of attack that SECURITY.md lists, each as often as the others.
CHANGES = [
    *[change_bytes] * 2,
    *[change_json] * 8,
    *[change_weights] * 4,
    *[change_files] * 2,
    *fuzz_kinds.CHANGES.values(),
]


class Watch:
    """Notes whatever a load does that it must not: Python's own audit events."""

    def __init__(self, allowed):
        self.allowed, self.on, self.seen = str(allowed), False, []
        sys.addaudithook(self._event)

    def _event(self, event, arguments):
        if not self.on:
            return
        if event in ("os.system", "subprocess.Popen", "os.exec", "pickle.find_class", "os.fork"):
            self.seen.append(event)
        elif event.startswith("socket.") or event == "marshal.loads" and self._of_ours():
            self.seen.append(event)
        elif event == "open" and isinstance(arguments[0], (str, bytes)):
            path, writes = os.fsdecode(arguments[0]), arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if writes and not path.startswith((self.allowed, "/dev/null")) and "pyc" not in path:
                self.seen.append(f"open {path}")
            elif path.startswith("/etc/"):
                self.seen.append(f"open {path}")

    def _of_ours(self):
        # Importing reads code too.
        frame = sys._getframe()
        while frame:
            if "importlib" in frame.f_code.co_filename:
                return False
            frame = frame.f_back
        return True


def diffusers_base(folder):
    """A tiny autoencoder of diffusers."""
    from keras_vae import zoo

    fuzz_diffusers.base(folder)
    return zoo.load(folder / "whole", compile=False)


# What is changed: functions that make the originals, and that change a copy of one.
KINDS = {
    "preset": (base, changed, "preset"),
    "diffusers": (diffusers_base, fuzz_diffusers.changed, "whole"),
}


def judge(path, same, model, watch):
    """Loads a changed preset; returns (what happened, whether that is as it should be)."""
    from keras_vae import zoo

    watch.seen.clear()
    watch.on = True
    try:
        found = zoo.load(path, compile=False)
        result, good = "loaded", True
    except (ValueError, OSError) as error:
        result = type(error).__name__
        good = "Received" in str(error) or isinstance(error, OSError)
        good = good and str(error).replace("\n", "").isprintable()
        result += "" if good else f": {str(error)[:300]}"
    except Exception as error:
        result, good = f"{type(error).__name__}: {str(error)[:300]}", False
    finally:
        watch.on = False
    if watch.seen:
        return f"did {watch.seen[:3]}", False
    if result == "loaded" and same:
        for mine, its in zip(model.get_weights(), found.get_weights(), strict=True):
            if not np.array_equal(mine, its):
                return "loaded another model", False
    return result, good


def work(first, last, seed, notes, kind="preset"):
    """Judges cases in this process, one line of notes each; a limit ends the process."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as sandbox:
        sandbox = Path(sandbox)
        # What loading copies must lie in there too, to be told from writing elsewhere.
        tempfile.tempdir = str(sandbox)
        source = sandbox / "source"
        source.mkdir()
        make, change, first_one = KINDS[kind]
        model = make(source)
        watch = Watch(sandbox)
        judge(source / first_one, True, model, watch)
        limit_memory()
        for case in range(first, last):
            with open(notes, "a", encoding="utf-8") as file:
                print(f"{case} began", file=file)
            target = sandbox / "case"
            target.mkdir()
            path, same = change(source, target, np.random.default_rng([seed, case]))
            outside, beside = _count(sandbox), sorted(target.rglob("*"))
            # Its own seconds; and, for what waits for ever, those of a busy machine's clock.
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(60 * SECONDS)
            result, good = judge(path, same, model, watch)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
            if _count(sandbox) != outside or sorted(target.rglob("*")) != beside:
                result, good = "left files behind, or moved some", False
            shutil.rmtree(target)
            line = json.dumps({"case": case, "result": result, "good": good})
            with open(notes, "a", encoding="utf-8") as file:
                print(line, file=file)


def limit_memory():
    """From here on this process may take `BYTES` more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES,) * 2)


def run(cases, seed=0, notes=None, first=0, kind="preset"):
    """Judges cases in a process of their own, and in a new one after each that ends it.

    Args:
        cases: how many.
        seed: of all of them.
        notes: file that grows by a line a case.
        first: number of the first one.
        kind: one of `KINDS`.

    Returns:
        (counts of what happened, list of what should not have).
    """
    with tempfile.TemporaryDirectory(prefix="fuzz-notes-") as folder:
        notes = Path(notes or Path(folder) / "notes")
        following, last = first, first + cases
        while following < last:
            arguments = f"{following}, {last}, {seed}, {str(notes)!r}, {kind!r}"
            code = f"from tools.checks import fuzz; fuzz.work({arguments})"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            lines = notes.read_text().splitlines() if notes.exists() else []
            begun = [int(line.split()[0]) for line in lines if line.endswith("began")]
            if not begun:
                raise RuntimeError(f"No case began: {done.stderr[-2000:]}")
            if done.returncode:
                end = {"case": begun[-1], "result": f"ended by {done.returncode}", "good": False}
                end["stderr"] = done.stderr[-500:]
                with open(notes, "a", encoding="utf-8") as file:
                    print(json.dumps(end), file=file)
            following = begun[-1] + 1
        rows = [json.loads(line) for line in notes.read_text().splitlines() if line[0] == "{"]
    return Counter(row["result"].split(":")[0] for row in rows), [r for r in rows if not r["good"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--notes", help="file that grows by a line a case")
    parser.add_argument("--kind", choices=list(KINDS), default="preset")
    arguments = parser.parse_args()
    started = time.monotonic()
    counts, bad = run(
        arguments.cases, arguments.seed, arguments.notes, arguments.first, arguments.kind
    )
    for row in bad:
        print(row)
    print(f"{sum(counts.values())} cases in {time.monotonic() - started:.0f} s: {dict(counts)}")
    print(f"{len(bad)} that should not be")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
