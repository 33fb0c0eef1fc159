"""`python -m tools.checks.fuzz_guided READER`: files that reach new lines of a reader of ours.

libFuzzer, through `pip install atheris`, changes bytes and keeps what ran a line that nothing ran
before. `tools.checks.fuzz` changes what a file means; this one finds what nobody thought of. A
reader must end well, or raise a `ValueError` or `OSError`, within the limits of time and memory.
"""

import argparse
import os
import resource
import sys
import tempfile
from pathlib import Path

SECONDS, MEGABYTES = 10, 2048
# Words that bytes changed at random do not become by themselves.
WORDS = [
    *("module", "class_name", "config", "registered_name", "keras", "keras.layers", "Dense"),
    *("Functional", "Sequential", "Lambda", "__tuple__", "__keras_tensor__", "__numpy__"),
    *("__lambda__", "keras_vae>VAE", "keras_vae>DiagonalNormal", "shape", "units", "dtype"),
    *("__metadata__", "data_offsets", "F32", "BF16", "I64", "PK", "TREE", "HEAP", "SNOD"),
]


def archive(path):
    """An archive of Keras, unpacked into a private folder."""
    from keras_vae.zoo import archives

    with archives.unpacked(path) as folder:
        for part in folder.iterdir():
            part.read_bytes()


def weights(path):
    """A file of weights, whose arrays are read as Keras does."""
    import h5py

    from keras_vae import _hdf5
    from keras_vae.zoo import building

    with building.weights_fit(path):
        _hdf5.check_weights(path)
        with h5py.File(path, "r") as file:
            file.visititems(lambda _, item: item[()] if isinstance(item, h5py.Dataset) else None)


def tensors(path):
    """A file of safetensors."""
    from keras_vae.zoo import safetensors

    with safetensors.read(path) as found:
        for name in found:
            found[name]
        found.check_unchanged()


def configuration(path):
    """A configuration; where it is allowed, the model is built too."""
    from keras_vae.zoo import allowed, building

    building.build(allowed.read(path, path), path, numbers=0)


READERS = {f.__name__: f for f in (archive, weights, tensors, configuration)}


def seeds(reader, folder):
    """Writes well-formed files of a reader into a folder: what libFuzzer starts from."""
    from tools.checks import fuzz, fuzz_diffusers

    with tempfile.TemporaryDirectory(prefix="fuzz-seeds-") as made:
        made = Path(made)
        if reader == "tensors":
            fuzz_diffusers.base(made)
            files = made.rglob("*.safetensors")
        else:
            fuzz.base(made)
            files = {
                "archive": [made / "model.keras"],
                "weights": [made / "preset" / "model.weights.h5"],
                "configuration": [made / "preset" / "config.json"],
            }[reader]
        for number, file in enumerate(files):
            (folder / f"seed-{number}").write_bytes(file.read_bytes())


def judge(reader, content, place):
    """Runs a reader on bytes; whether it took them. Other errors than its own pass through."""
    place.write_bytes(content)
    try:
        READERS[reader](place)
    except (ValueError, OSError):
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reader", choices=list(READERS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", help="folder that keeps what reached a new line")
    arguments = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit("The guided fuzzer needs atheris: pip install atheris")
    import h5py  # noqa: F401, before the instrumentation: it is not what is looked into
    import keras

    with atheris.instrument_imports(include=["keras_vae"]):
        from keras_vae import _hdf5  # noqa: F401
        from keras_vae.zoo import archives, building, safetensors  # noqa: F401
    counts = {True: 0, False: 0}
    # In memory where there is such a folder: a reader takes a path.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fuzz-guided-", dir=memory) as sandbox:
        sandbox = Path(sandbox)
        corpus = Path(arguments.corpus or sandbox / "corpus")
        corpus.mkdir(parents=True, exist_ok=True)
        seeds(arguments.reader, corpus)
        for file in sorted(corpus.glob("seed-*")):
            if not judge(arguments.reader, file.read_bytes(), sandbox / "model.keras"):
                sys.exit(f"A well-formed file is refused: {file}")
        words = sandbox / "words"
        words.write_text("".join(f'"{word}"\n' for word in WORDS))

        def one(content):
            counts[judge(arguments.reader, content, sandbox / "model.keras")] += 1
            if sum(counts.values()) % 1000 == 0:
                keras.backend.clear_session()
                # libFuzzer ends the process itself, so that nothing can be said afterwards.
                print(f"{counts[True]} taken, {counts[False]} refused", flush=True)

        started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        flags = {
            "max_total_time": arguments.seconds,
            "timeout": SECONDS,
            "rss_limit_mb": started + MEGABYTES,
            "max_len": 2**16,
            "seed": arguments.seed,
            "dict": words,
            "artifact_prefix": f"{arguments.reader}-",
        }
        settings = [f"-{name}={value}" for name, value in flags.items()]
        atheris.Setup([sys.argv[0], *settings, str(corpus)], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
