"""Pretrained models by name: data only, hashes checked, no code executed.

A preset is a folder: `config.json` (the parts, no code), `metadata.json` (what
it is, what was measured, hashes), `model.weights.h5`, and beside them what
people and tests use: `recipe.json`, `golden.npz`, `README.md`, pictures. Folders of
diffusers are loaded too (`diffusers_folder`).
"""

import difflib
import fnmatch
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vae import _atomic
from keras_vae._types import Array, Model, PathLike
from keras_vae.models import hub_names
from keras_vae.zoo import (
    allowed,
    archives,
    building,
    card,
    diffusers_folder,
    hub,
    own,
    plain,
    untrusted,
)
from keras_vae.zoo.description import (
    CONFIG,
    GOLDEN,
    METADATA,
    RECIPE,
    WEIGHTS,
    Info,
    check_hashes,
    check_values,
    describe,
    dump_json,
    golden_values,
    read_json,
    read_metadata,
)

FORMATS = ("keras_vae", "diffusers")
# Functions by the names that `push(exports=...)` takes, which `export` puts here.
exporters: dict[str, Any] = {}
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


@plain.errors()
def info(name: PathLike) -> Info:
    """Metadata of a preset: description, metrics, licence, hash.

    Args:
        name: a name of `list_models()`, the path of a preset's folder, of one of diffusers,
            or "hf://user/repo".

    Returns:
        `Info`, a dict with a readable `str`. Of a folder of diffusers it holds the class,
        `latent_channels`, `parameters`, the types of the weights in the files, and the range
        of pictures, which is [0, 1] here and [-1, 1] inside.

    Raises:
        ValueError: unknown name, or a folder that is not a preset.
    """
    path = folder(name)
    if not _is_ours(path):
        return diffusers_folder.info(path, name if hub.is_name(name) else None)
    with _copied(path, METADATA) as files:
        return Info(read_metadata(files, path))


@plain.errors()
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
            optionally with "/folder" and "@revision". Downloads are cached under
            `KERAS_HOME`; `HF_HUB_OFFLINE=1` uses the cache only. A folder, or repository,
            may also be one of diffusers with an `AutoencoderKL`, `AutoencoderTiny` or
            `VQModel` in safetensors, or a pipeline's with such a `vae` in it.
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
            link; a file that is damaged, declares more than it holds, or is a pickle; a
            class of diffusers that is not known; a file that was written to while it was
            read. No code was executed.
        OSError: no connection to the hub, and no copy in the cache.
        ImportError: a preset of the hub without huggingface_hub.
    """
    if weights not in ("pretrained", None):
        raise ValueError(f"`weights` must be 'pretrained' or None. Received: weights={weights!r}")
    wall = bool(trusted), own.expanded(custom_objects)
    if _is_archive(name):
        path = _atomic.absolute(name)
        with archives.unpacked(path) as files:
            config = building.without_optimizers(read_json(files, CONFIG, path))
            model = building.with_weights(config, files, path, weights, wall, slots=True)
    else:
        path = folder(name)
        if _is_ours(path):
            wanted = [CONFIG] + ([WEIGHTS] if weights else [])
            with _copied(path, METADATA, *wanted) as files:
                check_hashes(files, path, wanted)
                config = read_json(files, CONFIG, path)
                model = building.with_weights(config, files, path, weights, wall)
        else:
            model = diffusers_folder.load(path, weights is not None)
    if compile:
        model.compile(optimizer=keras.optimizers.Adam(1e-3))
    return model


@plain.errors()
def class_of(name: PathLike) -> type:
    """The class of a preset's model, without its weights."""
    path = folder(name)
    with _copied(path, CONFIG) as files:
        kind = keras.saving.get_registered_object(
            str(read_json(files, CONFIG, path).get("registered_name"))
        )
    return kind if isinstance(kind, type) else object


def _is_archive(name):
    path = Path(name)
    diffusers_folder.refuse_file(path)
    if path.suffix in (".h5", ".hdf5") and path.is_file():
        raise ValueError(
            "A whole model is not loaded from an HDF5 file, which may hold code: save it as "
            f"`.keras`, or load its weights into a model. Received: {name}"
        )
    return path.suffix == ".keras" and path.is_file()


def _copied(path, *names):
    """Private copies of the files of a preset, as a context manager."""
    return untrusted.copied(path, names, follow=path.parent in _FOLDERS)


def save(
    model: Model,
    path: PathLike,
    metadata: dict[str, Any] | None = None,
    golden: tuple[Array, ...] | None = None,
    files: dict[str, str | bytes] | None = None,
    *,
    trusted: bool = False,
    format: str = "keras_vae",
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
        format: "keras_vae", or "diffusers" for a folder that diffusers and `load` read:
            `config.json`, `diffusion_pytorch_model.safetensors` and a card, of a model of a
            class that diffusers has. It takes no `golden`.

    Returns:
        The path, a `pathlib.Path`.

    Raises:
        TypeError: not a VAE.
        ValueError: a part of the model is neither of Keras nor of this package, and
            `trusted` is False; or a part has no `get_config`; or diffusers has no such model.
        OSError: the folder cannot be written, or holds something other than a preset of
            this format; its content is unchanged.
    """
    _check_format(format)
    if not building.is_vae(model):
        raise TypeError(f"Only a keras_vae VAE can be saved. Received: {type(model).__name__}")
    target = _atomic.absolute(path)
    contents = {k: v.encode() if isinstance(v, str) else v for k, v in (files or {}).items()}
    if format == "diffusers":
        if golden is not None:
            raise ValueError("A folder of diffusers holds no golden values: golden=None.")
        diffusers_folder.save(model, target, metadata or {}, contents)
        return target
    try:
        config = building.without_optimizers(keras.saving.serialize_keras_object(model))
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
    twin = building.build(json.loads(text), target / CONFIG, True, own.objects(model), numbers)
    twin.set_weights(model.get_weights())
    with _atomic.folder(target, {METADATA, RECIPE}, "preset") as new:
        (new / CONFIG).write_text(text, encoding="utf-8")
        building.save_weights(twin, new / WEIGHTS)
        if golden is not None:
            np.savez_compressed(new / GOLDEN, **golden_values(model, *golden))
        for name, content in contents.items():
            (new / name).write_bytes(content)
        described = describe(model, target.name, new, metadata or {})
        check_values(json.loads(dump_json(described)), target)
        (new / METADATA).write_text(dump_json(described), encoding="utf-8")
    return target


def push(
    model: Model | PathLike,
    name: str,
    metadata: dict[str, Any] | None = None,
    private: bool = False,
    message: str = "Upload a keras_vae preset",
    *,
    format: str = "keras_vae",
    exports: tuple[str, ...] = (),
) -> str:
    """Puts a preset on the Hugging Face Hub, from where "hf://user/repo" loads it.

    Who may do so is the hub's business: log in with `hf auth login` before. The card gets a
    head for the hub's search: library, task, tags, licence, data sets and results, as far as
    the metadata knows them. A card that has a head keeps it.

    Args:
        model: a `models.VAE`, or the name or folder of a preset.
        name: "hf://user/repo", or "hf://user/repo/folder"; made when it is not there.
        metadata: see `save`, for a model.
        private: whether a new repository is.
        message: of the commit.
        format: see `save`, for a model.
        exports: some of "tflite", "onnx" and "saved_model": files to put beside the preset.

    Returns:
        "hf://user/repo@commit", which stays the same for ever.

    Raises:
        ValueError: not a name of the hub, a folder that is not a preset, or another export.
        ImportError: huggingface_hub is not installed, or what an export needs.
    """
    repository, _, _ = hub.parse(name)
    _check_format(format)
    unknown = [export for export in exports if export not in exporters]
    if unknown:
        raise ValueError(f"`exports` may hold {', '.join(exporters)}. Received: {unknown[0]!r}")
    with tempfile.TemporaryDirectory(prefix="keras_vae-") as temporary:
        if building.is_vae(model):
            target = Path(temporary) / repository.split("/")[1]
            source = save(model, target, metadata, format=format)
            generates = getattr(model, "can_sample", None)
        else:
            source, generates = folder(model), None
        files = Path(temporary) / "files"
        with _checked_copy(source) as copy:
            shutil.copytree(copy, files)
        found, readme = info(source), files / "README.md"
        text = card.body(repository, found, name)
        if readme.is_file():
            text = readme.read_text(encoding="utf-8")
        carded = card.with_head(text, card.head(found, repository, generates))
        if carded != text:
            readme.write_text(carded, encoding="utf-8")
        for export in exports:
            exporters[export](model if building.is_vae(model) else load(source), files)
        return hub.push(files, name, message, private)


def _check_format(format):
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {', '.join(FORMATS)}. Received: {format!r}")


def _checked_copy(source):
    """Private copies of the files that make a preset, after a check."""
    if _is_ours(source):
        _check_folder(source)
        wanted = [file.name for file in source.iterdir() if file.is_file()]
    else:
        wanted = [*diffusers_folder.info(source)["files"], "README.md", "LICENSE"]
    return untrusted.copied(source, wanted)


def _check_folder(path):
    """Raises `ValueError` if a folder's files are not those of its hashes, or are damaged."""
    if not _is_ours(path):
        diffusers_folder.check(path)
        return
    with _copied(path, METADATA, CONFIG, WEIGHTS) as files:
        check_hashes(files, path, (CONFIG, WEIGHTS))


def _is_ours(path):
    """Whether a folder is a preset, and not one of diffusers."""
    names = untrusted.settled_names(path)
    return METADATA in names or diffusers_folder.find(path, names) is None


def _wanted_of_hub(paths, inner, download, inside=False):
    """What makes a preset, or an autoencoder of diffusers, in a folder of a repository."""
    start = f"{inner}/" if inner else ""
    names = [path.removeprefix(start) for path in paths if path.startswith(start)]
    missing = [file for file in (CONFIG, METADATA, WEIGHTS) if file not in names]
    if not missing:
        optional = (GOLDEN, RECIPE, "README.md")
        return [start + n for n in (CONFIG, METADATA, WEIGHTS, *optional) if n in names]
    if diffusers_folder.PIPELINE in names and CONFIG not in names and not inside:
        return _wanted_of_hub(paths, f"{start}vae", download, inside=True)
    return [start + n for n in diffusers_folder.wanted_of_hub(names, download, start, missing)]


@plain.errors()
def folder(name: PathLike) -> Path:
    """The folder of a preset, by name or path; presets of the hub are downloaded."""
    if hub.is_name(name):
        return hub.fetch(name, _wanted_of_hub, _check_folder)
    if isinstance(name, str) and name and name == Path(name).name:
        for path in (untrusted.place(root / name) for root in _FOLDERS):
            if (path / METADATA).is_file():
                return path
    path = untrusted.place(_atomic.absolute(name))
    if path.is_dir():
        names = untrusted.settled_names(path)
        if METADATA in names:
            return path
        found = diffusers_folder.find(path, names)
        if found is None:
            raise ValueError(
                f"The folder holds no {METADATA}, so it is not a preset, and neither "
                f"{diffusers_folder.CONFIG} nor {diffusers_folder.PIPELINE}, so it is not one of "
                f"diffusers. Received: {name}"
            )
        return found
    near = difflib.get_close_matches(str(name), list_models(), n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(
        f"No preset of that name, and no such folder. Received: {str(name)!r}.{hint} "
        f"There are: {', '.join(list_models()) or 'none'}"
    )


hub_names.zoo = sys.modules[__name__]
