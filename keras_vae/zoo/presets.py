"""Pretrained models by name: data only, hashes checked, no code executed.

A preset is a folder: `config.json` (the parts, no code), `metadata.json` (what
it is, what was measured, hashes), `model.weights.h5`, and beside them what
people and tests use: `recipe.json`, `golden.npz`, `README.md`, pictures.
"""

import contextlib
import difflib
import fnmatch
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from keras_vae import _atomic
from keras_vae._types import Array, Model, PathLike
from keras_vae.zoo import allowed, hub, own, untrusted
from keras_vae.zoo.description import (
    CONFIG,
    FORMAT,
    GOLDEN,
    METADATA,
    RECIPE,
    WEIGHTS,
    Info,
    describe,
    dump_json,
    golden_values,
    sha256,
)

_INTEGERS = ("version", "latent_dim", "parameters", "bytes")
_KEYS = ("name", "version", "description", "input", "latent_dim", "parameters", "bytes", "sha256")
_HERE = Path(__file__).resolve().parents[1]
# An installed package carries its presets inside; a checkout has them beside it.
_FOLDERS = (_HERE / "_zoo", _HERE.parent / "zoo")


def list_models(pattern: str = "*") -> list[str]:
    """Names of the packaged presets.

    Args:
        pattern: wildcards as in a shell, such as "mnist_*".

    Returns:
        Sorted list of names.
    """
    names = {
        folder.name
        for root in _FOLDERS
        if root.is_dir()
        for folder in root.iterdir()
        # Hidden folders belong to saves that are not complete.
        if not folder.name.startswith(".") and (folder / METADATA).is_file()
    }
    return sorted(fnmatch.filter(names, pattern))


def info(name: PathLike) -> Info:
    """Metadata of a preset: description, metrics, licence, hash.

    Args:
        name: a name of `list_models()` or the path of a preset folder.

    Returns:
        `Info`, a dict with a readable `str`.

    Raises:
        ValueError: unknown name, or a folder that is not a preset.
    """
    path = folder(name)
    with _copied(path, METADATA) as files:
        return Info(_metadata(files, path))


def load(
    name: PathLike,
    weights: str | None = "pretrained",
    compile: bool = True,
    *,
    trusted: bool = False,
    custom_objects: dict[str, Any] | None = None,
) -> Model:
    """Loads a pretrained model on any backend.

    No code from the files is executed: a configuration may name only certain classes of
    Keras and of this package; weights are arrays of numbers; files that would take far
    more memory than their size raise an error before the allocation.

    Args:
        name: a name of `list_models()`, the path of a preset folder or of a `.keras`
            file as `model.save` writes it, or "hf://user/repo" of the Hugging Face Hub,
            optionally with "@revision". Downloads are cached under `KERAS_HOME`;
            `HF_HUB_OFFLINE=1` uses the cache only.
        weights: "pretrained", or None for the same architecture with new weights.
        compile: whether to compile the model, with Adam at 1e-3.
        trusted: True for a file of your own, or of an author whom you would also trust with
            a program: its configuration may name any class, whose module Keras imports, and
            the code of a `Lambda` is run.
        custom_objects: dict of name to class or function of your own that the
            configuration may name too.

    Returns:
        `models.VAE`.

    Raises:
        ValueError: unknown name (similar names are suggested); a folder that is not a
            preset; a wrong hash; a configuration with a class that is not allowed; a
            link; a file that is damaged or declares more than it holds. No code was
            executed.
        OSError: no connection to the hub, and no copy in the cache.
        ImportError: a preset of the hub without huggingface_hub.
    """
    if weights not in ("pretrained", None):
        raise ValueError(f"`weights` must be 'pretrained' or None. Received: weights={weights!r}")
    wall = bool(trusted), own.expanded(custom_objects)
    if _is_archive(name):
        path = _atomic.absolute(name)
        with untrusted.unpacked(path) as files:
            config = _without_optimizers(_read_json(files, CONFIG, path))
            model = _build_with_weights(config, files, path, weights, wall, slots=True)
    else:
        path = folder(name)
        wanted = [CONFIG] + ([WEIGHTS] if weights else [])
        with _copied(path, METADATA, *wanted) as files:
            _check_hashes(files, path, wanted)
            config = _read_json(files, CONFIG, path)
            model = _build_with_weights(config, files, path, weights, wall)
    if compile:
        model.compile(optimizer=keras.optimizers.Adam(1e-3))
    return model


def _is_archive(name):
    path = Path(name)
    if path.suffix in (".h5", ".hdf5") and path.is_file():
        raise ValueError(
            "A whole model is not loaded from an HDF5 file, which may hold code: save it as "
            f"`.keras`, or load its weights into a model. Received: {name}"
        )
    return path.suffix == ".keras" and path.is_file()


def _copied(path, *names):
    """Private copies of the files of a preset, as a context manager."""
    return untrusted.copied(path, names, follow=path.parent in _FOLDERS)


def _build_with_weights(config, files, path, weights, wall, slots=False):
    if not weights:
        return _build(config, path / CONFIG, *wall)
    with _weights_fit(path / WEIGHTS):
        numbers = untrusted.check_weights(files / WEIGHTS, slots)
    model = _build(config, path / CONFIG, *wall, numbers)
    with _weights_fit(path / WEIGHTS):
        # Keras ignores numbers in the file that the model lacks; here the counts must agree.
        model.load_weights(files / WEIGHTS)
        if numbers != model.count_params():
            raise ValueError(
                f"{numbers:,} numbers in the file, {model.count_params():,} in the model"
            )
    return model


def save(
    model: Model,
    path: PathLike,
    metadata: dict[str, Any] | None = None,
    golden: tuple[Array, ...] | None = None,
    files: dict[str, str | bytes] | None = None,
    *,
    trusted: bool = False,
) -> Path:
    """Saves a model as a preset folder for `load`.

    The save is atomic: an existing preset is kept until the new one is complete.

    Args:
        model: a `models.VAE`.
        path: folder to write.
        metadata: dict of `description`, `licence`, `metrics`, ... to keep.
        golden: `(x,)` or `(x, condition)`, a few inputs; their posterior means,
            reconstructions and log-densities are saved for comparison.
        files: dict of name to bytes or text, further files of the folder.
        trusted: True for a model with classes of your own; the preset then needs
            `load(path, trusted=True)` or `load(path, custom_objects=...)`.

    Returns:
        The path, a `pathlib.Path`.

    Raises:
        TypeError: not a VAE.
        ValueError: a part of the model is neither of Keras nor of this package, and
            `trusted` is False; or a part has no `get_config`.
        OSError: the folder cannot be written, or holds something other than a preset;
            its content is unchanged.
    """
    if not _is_vae(model):
        raise TypeError(f"Only a keras_vae VAE can be saved. Received: {type(model).__name__}")
    target = _atomic.absolute(path)
    try:
        config = _without_optimizers(keras.saving.serialize_keras_object(model))
        text = json.dumps(config, indent=1) + "\n"
    except Exception as error:
        raise ValueError(
            "A part of the model cannot be written as a configuration: a class of one's own needs "
            f"`get_config`. Received: {type(error).__name__}: {error}"
        ) from error
    if not trusted:
        try:
            allowed.check_config(json.loads(text), target / CONFIG)
        except ValueError as error:
            raise ValueError(
                f"{error}. To write a preset that only those load who trust it and have its "
                "classes: zoo.save(model, path, trusted=True)"
            ) from error
    numbers = model.count_params()
    # A compiled model would carry the optimizer's slots in its weights.
    twin = _build(json.loads(text), target / CONFIG, True, own.objects(model), numbers)
    twin.set_weights(model.get_weights())
    with _atomic.folder(target, {METADATA, RECIPE}, "preset") as new:
        (new / CONFIG).write_text(text, encoding="utf-8")
        _save_weights(twin, new / WEIGHTS)
        if golden is not None:
            np.savez_compressed(new / GOLDEN, **golden_values(model, *golden))
        for name, content in (files or {}).items():
            if isinstance(content, str):
                content = content.encode()
            (new / name).write_bytes(content)
        described = describe(model, target.name, new, metadata or {})
        (new / METADATA).write_text(dump_json(described), encoding="utf-8")
    return target


def push(
    model: Model | PathLike,
    name: str,
    metadata: dict[str, Any] | None = None,
    private: bool = False,
    message: str = "Upload a keras_vae preset",
) -> str:
    """Puts a preset on the Hugging Face Hub, from where "hf://user/repo" loads it.

    Who may do so is the hub's business: log in with `hf auth login` before.

    Args:
        model: a `models.VAE`, or the name or folder of a preset.
        name: "hf://user/repo"; made when it is not there.
        metadata: see `save`, for a model.
        private: whether a new repository is.
        message: of the commit.

    Returns:
        "hf://user/repo@commit", which stays the same for ever.

    Raises:
        ValueError: not a name of the hub, or a folder that is not a preset.
        ImportError: huggingface_hub is not installed.
    """
    repository, _ = hub.parse(name)
    with tempfile.TemporaryDirectory(prefix="keras_vae-") as temporary:
        if _is_vae(model):
            source = save(model, Path(temporary) / repository.split("/")[1], metadata)
        else:
            source = folder(model)
        _check_folder(source)
        files = Path(temporary) / "files"
        with untrusted.copied(source, [f.name for f in source.iterdir() if f.is_file()]) as copy:
            shutil.copytree(copy, files)
        card = files / "README.md"
        if not card.is_file():
            card.write_text(f"# {repository}\n\n```\n{info(source)}\n```\n", encoding="utf-8")
        return hub.push(files, name, message, private)


def _check_folder(path):
    """Raises `ValueError` if the hashes of a folder are not those of its files."""
    with _copied(path, METADATA, CONFIG, WEIGHTS) as files:
        _check_hashes(files, path, (CONFIG, WEIGHTS))


def _check_hashes(files, path, names):
    hashes = _metadata(files, path)["sha256"]
    for name in names:
        _check_hash(files, name, path, hashes.get(name))


def _save_weights(model, path):
    """Saves a weights file of Keras with compressed arrays, which Keras can read."""
    plain = path.with_name("plain.weights.h5")
    model.save_weights(plain)
    # In memory, because HDF5 does not handle a full disk.
    packed = io.BytesIO()
    with h5py.File(plain) as old, h5py.File(packed, "w") as new:

        def copy(name, item):
            if isinstance(item, h5py.Group):
                twin = new.require_group(name)
            else:
                how = {"compression": "gzip", "shuffle": True, "chunks": item.shape}
                twin = new.create_dataset(name, data=item[()], **(how if item.size > 1 else {}))
            twin.attrs.update(item.attrs)

        old.visititems(copy)
        new.attrs.update(old.attrs)
    plain.unlink()
    path.write_bytes(packed.getvalue())


def folder(name: PathLike) -> Path:
    """The folder of a preset, by name or path; presets of the hub are downloaded."""
    if hub.is_name(name):
        wanted, optional = (CONFIG, METADATA, WEIGHTS), (GOLDEN, RECIPE, "README.md")
        return hub.fetch(name, wanted, optional, _check_folder)
    if isinstance(name, str) and name and name == Path(name).name:
        for root in _FOLDERS:
            _atomic.settled(root / name)
        if name in list_models():
            return next(r / name for r in _FOLDERS if (r / name / METADATA).is_file())
    path = _atomic.absolute(name)
    if _atomic.settled(path) and path.is_dir():
        # Two tries: another process may be replacing it.
        if not any((path / METADATA).is_file() for _ in range(2) if _atomic.settled(path)):
            raise ValueError(
                f"The folder holds no {METADATA}, so it is not a preset. Received: {name}"
            )
        return path
    near = difflib.get_close_matches(str(name), list_models(), n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(
        f"No preset of that name, and no such folder. Received: {str(name)!r}.{hint} "
        f"There are: {', '.join(list_models()) or 'none'}"
    )


def _is_vae(model):
    return isinstance(model, keras.Model) and hasattr(model, "posterior_layer")


def _without_optimizers(config):
    """A configuration without optimizers: a preset must load on every backend."""
    if isinstance(config, dict):
        return {k: _without_optimizers(v) for k, v in config.items() if k != "compile_config"}
    if isinstance(config, list):
        return [_without_optimizers(value) for value in config]
    return config


def _build(config, path, trusted=False, objects=None, numbers=untrusted.MOST_NUMBERS // 2):
    """Checks a configuration, then builds its model."""
    if not trusted:
        allowed.check_config(config, path, objects or ())
    try:
        # Twice the numbers, because Keras may instantiate a part twice.
        with untrusted.budget(2 * numbers + 2**16):
            model = keras.saving.deserialize_keras_object(
                config, custom_objects=objects, safe_mode=not trusted
            )
    except untrusted.Exhausted as error:
        raise _no_fit(error, path) from error
    except Exception as error:
        raise ValueError(
            f"The configuration describes no model. Received: {type(error).__name__}: {error} "
            f"in {path}"
        ) from error
    if not _is_vae(model):
        raise ValueError(
            f"The configuration describes no VAE. Received: {type(model).__name__} in {path}"
        )
    return model


@contextlib.contextmanager
def _weights_fit(path):
    try:
        yield
    except Exception as error:
        raise _no_fit(error, path) from error


def _no_fit(error, path):
    return ValueError(
        "The weights do not fit the configuration, or the file is damaged. "
        f"Received: {type(error).__name__}: {error} in {path}"
    )


def _metadata(files, path):
    """Reads the metadata and checks its keys; `path` is for error messages."""
    metadata = _read_json(files, METADATA, path)
    if metadata.get("format", FORMAT) != FORMAT:
        raise ValueError(
            f"The preset has a format that this keras_vae does not know: update it. "
            f"Expected: {FORMAT}. Received: {metadata['format']!r} in {path}"
        )
    missing = [key for key in _KEYS if key not in metadata]
    if missing or not isinstance(metadata["sha256"], dict):
        raise ValueError(
            f"The preset's {METADATA} is incomplete. "
            f"Received: no {', '.join(missing) or 'sha256 of files'} in {path}"
        )
    wrong = [f"{key}={metadata[key]!r}" for key in _INTEGERS if type(metadata[key]) is not int]
    try:
        # `str` fails for other values of a wrong type.
        str(Info(metadata))
    except Exception as error:
        wrong = [f"{type(error).__name__}: {error}"]
    if wrong:
        raise ValueError(
            f"The preset's {METADATA} has a value of another type than it should. "
            f"Received: {wrong[0]} in {path}"
        )
    return metadata


def _read_json(files, name, path):
    if not (files / name).is_file():
        raise ValueError(f"The preset lacks {name}. Received: {path}")
    return allowed.read(files / name, path / name)


def _check_hash(files, name, path, expected):
    if not (files / name).is_file():
        raise ValueError(f"The preset lacks {name}. Received: {path}")
    received = sha256(files / name)
    if received != expected:
        raise ValueError(
            f"{name} is damaged or was changed: its sha256 is not the one in "
            f"{METADATA}. Get the preset again. Expected: {expected}. Received: {received}"
        )
