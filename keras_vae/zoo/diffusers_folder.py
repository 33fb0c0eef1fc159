"""Folders of the library diffusers: recognised, checked, loaded, described and written.

A folder holds `config.json` with `_class_name`, and `diffusion_pytorch_model.safetensors`, a
variant of it in half precision, or an index with the files of its parts. In a pipeline's
folder it is `vae`. Tiny autoencoders also come as two files without a configuration.
"""

import contextlib
import re
from pathlib import Path

from keras_vae import _atomic, _budget
from keras_vae.zoo import bounds, building, card, diffusers, safetensors, strict_json, untrusted
from keras_vae.zoo.description import WEIGHTS as OURS
from keras_vae.zoo.description import Info, dump_json

CONFIG, PIPELINE, CARD = "config.json", "model_index.json", "README.md"
_STEM = "diffusion_pytorch_model"
WEIGHTS = f"{_STEM}.safetensors"
PAIR = ("encoder.safetensors", "decoder.safetensors")
# In the order in which they are looked for: whole before halves, one file before parts.
CHOICES = tuple(
    name
    for variant in ("", ".fp16", ".bf16")
    for name in (f"{_STEM}{variant}.safetensors", f"{WEIGHTS}.index{variant}.json")
)
PICKLES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")
MOST_BYTES = 2**32
_MOST_CONFIG, _MOST_INDEX, _MOST_SHARDS = 2**20, 2**22, 64
_SHARD = re.compile(rf"{_STEM}[A-Za-z0-9._-]{{0,100}}\.safetensors")
_MOST_INTEGER, _MOST_LENGTH, _MOST_TEXT = 2**20, 1024, 256
# Loops that run before any weight is added.
_MOST_OF = {"layers_per_block": 32, "num_encoder_blocks": 32, "num_decoder_blocks": 32}
_MOST_BLOCKS, _MOST_LAYERS = 16, 128
_BLOCKS = ("block_out_channels", "down_block_types", "up_block_types")
_CHANNELS = {"AutoencoderKL": 4, "AutoencoderTiny": 4, "VQModel": 3}


class FolderInfo(Info):
    """What a folder of diffusers is: a dict with a readable `str`."""

    def __str__(self):
        low, high = self["input"]["range"]
        return "\n".join(
            [
                f"{self['name']}: {self['description']}",
                f"  input      any height and width, {self['input']['shape'][-1]} channels, "
                f"{self['input']['dtype']} in [{low:g}, {high:g}]",
                f"  latent     {self['latent_channels']} channels",
                f"  size       {self['parameters']:,} parameters, {self['bytes'] / 1e6:.1f} MB, "
                f"{', '.join(self['dtypes'])}",
                f"  files      {', '.join(self['files'][:4])}{', ...' * (len(self['files']) > 4)}",
            ]
        )


def find(path, names):
    """The folder of an autoencoder at `path`: itself, or `vae` of a pipeline; None for others.

    Args:
        path: a folder.
        names: what is in it, see `untrusted.settled_names`.

    Raises:
        ValueError: a pipeline without an autoencoder, or weights that are pickles only.
    """
    theirs = set(CHOICES) & set(names)
    if OURS in names and not theirs:
        return None
    if CONFIG in names or set(PAIR) <= set(names):
        return path
    if PIPELINE in names:
        inner = path / "vae"
        if inner.is_symlink() or not inner.is_dir():
            raise ValueError(
                "A pipeline's folder is loaded by its autoencoder, the folder `vae`, and there "
                f"is none. Received: {path}"
            )
        return inner
    _refuse_pickles(names, path)
    return None


def refuse_file(path):
    """Raises `ValueError` if a path is that of a file that only its folder makes a model of."""
    if path.suffix == ".safetensors" and path.is_file():
        raise ValueError(
            "A file of weights alone does not say what model it is of: give the folder that "
            f"also holds its {CONFIG}. Received: {path}"
        )
    if path.suffix in PICKLES and path.is_file():
        _refuse_pickles([path.name], path.parent)


def _refuse_pickles(names, path):
    pickles = [name for name in names if name.endswith(PICKLES)]
    if pickles:
        raise ValueError(
            "A pickle can execute code, so it is not loaded. Convert it where you trust it: "
            "load it with diffusers, and save it with "
            "`save_pretrained(folder, safe_serialization=True)`. "
            f"Expected: {WEIGHTS}. Received: {', '.join(map(repr, pickles[:3]))} in {path}"
        )


def choose(names, path):
    """The name of the file of weights, or of the index of its parts.

    Raises:
        ValueError: there is none.
    """
    for name in CHOICES:
        if name in names:
            return name
    _refuse_pickles(names, path)
    raise ValueError(
        f"The folder holds no weights of diffusers. Expected: {WEIGHTS}. "
        f"Received: {', '.join(map(repr, names[:5])) or 'no files'} in {path}"
    )


def wanted(names, read, path):
    """Names of the files that make a model, and no others.

    Args:
        names: of all files of a folder.
        read: function from a name to an open file.
        path: for error messages.

    Raises:
        ValueError: files are missing, or the model is of a class that is not known.
    """
    if CONFIG not in names and set(PAIR) <= set(names):
        return list(PAIR)
    _read_config(read(CONFIG), path)
    chosen = choose(names, path)
    if not chosen.endswith(".json"):
        return [CONFIG, chosen]
    shards = sorted(set(_weight_map(read(chosen), path / chosen).values()))
    missing = [name for name in shards if name not in names]
    if missing:
        raise ValueError(
            f"The index names a file that is not there. Received: {missing[0]!r} in {path}"
        )
    return [CONFIG, chosen, *shards]


def wanted_of_hub(names, download, start, missing):
    """`wanted` of a folder in a repository, where files are there once `download` got them."""
    pair = set(PAIR) <= set(names)
    if not pair and (CONFIG not in names or not set(CHOICES) & set(names)):
        _refuse_pickles(names, start or "the repository")
        raise ValueError(
            f"The repository holds no preset: no {', '.join(missing)}; and no {CONFIG} with "
            f"{WEIGHTS} of diffusers. Received: {', '.join(map(repr, names[:5]))}"
        )
    with contextlib.ExitStack() as stack:

        def read(name):
            return stack.enter_context(open(download(start + name), "rb", buffering=0))

        return wanted(names, read, Path(start or "."))


def load(path, weights=True):
    """The model of a folder, not compiled.

    Raises:
        ValueError: files that are missing, damaged or too large; a class that is not known; a
            configuration that the weights do not fit. No code was executed.
    """
    with _opened(path, weights) as (config, tensors, _):
        numbers = untrusted.MOST_NUMBERS // 2 if tensors is None else tensors.numbers
        try:
            with bounds.budget(2 * numbers + 2**16):
                model = diffusers.build(config, tensors, path)
        except _budget.Exhausted as error:
            raise building.no_fit(error, path / CONFIG) from error
        except Exception as error:
            if isinstance(error, ValueError) and "Received" in str(error):
                raise
            raise ValueError(
                "The folder's configuration and weights make no model. "
                f"Received: {type(error).__name__}: {error} in {path}"
            ) from error
        if tensors is not None:
            tensors.check_unchanged()
        return model


def info(path, name=None):
    """`FolderInfo` of a folder, from its configuration and the headers of its weights."""
    with _opened(path) as (config, tensors, files):
        kind = config["_class_name"]
        channels = config.get("in_channels", 3)
        return FolderInfo(
            name=name or path.name,
            format="diffusers",
            description=f"{kind} of diffusers",
            **{"class": kind},
            input={"shape": [None, None, channels], "dtype": "float32", "range": [0.0, 1.0]},
            latent_channels=config.get("latent_channels", _CHANNELS.get(kind)),
            parameters=tensors.numbers,
            bytes=sum(files.values()),
            dtypes=sorted(set(tensors.dtypes.values())),
            files=list(files),
        )


def check(path):
    """Raises `ValueError` if a folder's configuration or a header of its weights is bad."""
    with _opened(path):
        pass


def save(model, target, metadata, files):
    """Writes a folder that diffusers loads, atomically.

    Args:
        model: of a class that diffusers has too.
        target: absolute path; only an empty folder is replaced, or one with `WEIGHTS`.
        metadata: dict of `description`, `licence`, ... for the card.
        files: dict of further files, name to bytes.
    """
    try:
        config, tensors = diffusers.config_of(model), diffusers.tensors_of(model)
    except Exception as error:
        raise ValueError(
            f"diffusers has no such model: it has {', '.join(diffusers.CLASSES)}. "
            f"Received: {type(model).__name__}, {type(error).__name__}: {error}"
        ) from error
    with _atomic.folder(target, {WEIGHTS}, "folder of diffusers") as new:
        _atomic.reserve(new, sum(value.nbytes for value in tensors.values()) + 2**20)
        (new / CONFIG).write_text(dump_json(config), encoding="utf-8")
        safetensors.write(new / WEIGHTS, tensors, {"format": "pt"})
        described = FolderInfo({**info(new), **metadata, "name": target.name})
        text = card.body(target.name, described, f"path/to/{target.name}")
        (new / CARD).write_text(card.with_head(text, card.head(described)), encoding="utf-8")
        for name, content in files.items():
            (new / name).write_bytes(content)


@contextlib.contextmanager
def _opened(path, weights=True):
    """Yields (configuration, tensors or None, sizes of the files), all checked."""

    def use(names, open_):
        files = {}

        def read(name):
            if name not in files:
                files[name] = open_(name)
            return files[name]

        chosen = wanted(names, read, path) if weights or CONFIG not in names else [CONFIG]
        sizes = {name: untrusted.size(read(name)) for name in chosen}
        if sum(sizes.values()) > MOST_BYTES:
            raise ValueError(
                f"The files are larger than {MOST_BYTES:,} bytes together. Received: {path}"
            )
        if CONFIG in chosen:
            tensors, config = _tensors(chosen, read, path), _read_config(read(CONFIG), path)
        else:
            tensors, config = _pair(read, path)
        _check_blocks(config, tensors, path)
        return config, tensors if weights else None, sizes

    with untrusted.opened(path, use) as found:
        yield found


def _tensors(chosen, read, path):
    """The arrays of the chosen files as one mapping, or None."""
    parts = [name for name in chosen if name.endswith(".safetensors")]
    if not parts:
        return None
    opened = {name: safetensors.Tensors(read(name), path / name) for name in parts}
    index = [name for name in chosen if name.endswith(".json") and name != CONFIG]
    if index:
        places = _weight_map(read(index[0]), path / index[0])
        held = {(name, part) for part, tensors in opened.items() for name in tensors}
        wrong = sorted(held ^ set(places.items()))
        if wrong:
            raise ValueError(
                "The index and the files disagree on where the arrays are. "
                f"Received: {wrong[0][0][:80]!r} of {wrong[0][1]!r} in {path / index[0]}"
            )
    return safetensors.Joined.of(opened.values())


def _pair(read, path):
    """The arrays of the two files of a tiny autoencoder, and what they say of it."""
    encoder, decoder = (safetensors.Tensors(read(name), path / name) for name in PAIR)
    try:
        config, renamed = diffusers.config_from_tensors(encoder, decoder)
    except Exception as error:
        raise ValueError(
            "The two files are not of a tiny autoencoder. "
            f"Received: {type(error).__name__}: {error} in {path}"
        ) from error
    return safetensors.Joined(renamed.names), config


def _read_json(file, path, most, nodes):
    try:
        size = untrusted.size(file)
        if size > most:
            raise ValueError(f"{size:,} bytes, of at most {most:,}")
        file.seek(0)
        value = strict_json.parse(file.read(size), nodes, 64)
        if not isinstance(value, dict):
            raise ValueError(f"a {type(value).__name__} and not a dict")
    except ValueError as error:
        raise ValueError(
            f"The file is not one as diffusers writes it. Received: {error} in {path}"
        ) from error
    return value


def _read_config(file, path):
    """The checked configuration of a class that is known."""
    config = _read_json(file, path / CONFIG, _MOST_CONFIG, 20_000)
    kind = config.get("_class_name")
    if not isinstance(kind, str):
        raise ValueError(
            f"The folder holds no metadata.json, so it is not a preset, and its {CONFIG} names no "
            f"`_class_name`, so it is not one of diffusers either. Received: {path}"
        )
    if kind not in diffusers.CLASSES:
        raise ValueError(
            "The model is of a class of diffusers that keras_vae does not have. "
            f"Expected: {', '.join(diffusers.CLASSES)}. Received: {kind[:80]!r} in {path}"
        )
    waiting = list(config.items())
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            if len(value) > (_MOST_BLOCKS if key in _BLOCKS else _MOST_LENGTH):
                _refuse(f"a list of {len(value):,} for {key[:80]!r}", path)
            waiting += [(key, item) for item in value]
        elif isinstance(value, str) and (len(value) > _MOST_TEXT or not value.isprintable()):
            # Errors may show it, on a terminal.
            _refuse(f"a text of {len(value):,} characters for {key[:80]!r}", path)
        elif isinstance(value, int) and abs(value) > _MOST_OF.get(key, _MOST_INTEGER):
            _refuse(f"{key[:80]!r} of {str(value)[:40]}", path)
    return config


def _refuse(what, path):
    raise ValueError(
        "The configuration asks for more than any autoencoder needs. Nothing was executed. "
        f"Received: {what} in {path / CONFIG}"
    )


def _check_blocks(config, tensors, path):
    """Refuses more layers than arrays, or, without weights, than any known model has."""
    layers = 0
    for key in _MOST_OF:
        value = config.get(key)
        items = value if isinstance(value, list) else [value]
        each = [item for item in items if type(item) is int]
        blocks = config.get(_BLOCKS[0])
        layers += sum(each) * (
            len(blocks) if isinstance(blocks, list) and not isinstance(value, list) else 1
        )
    most = _MOST_LAYERS if tensors is None else len(tensors)
    if layers > most:
        _refuse(f"{layers:,} layers, of at most {most:,}", path)


def _weight_map(file, path):
    """The checked `weight_map` of an index: names of arrays to names of files beside it."""
    places = _read_json(file, path, _MOST_INDEX, 4 * safetensors.MOST_TENSORS).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ValueError(f"The index has no dict `weight_map`. Received: {path}")
    shards = {str(name) for name in places.values()}
    wrong = [name for name in shards if not _SHARD.fullmatch(name)]
    if wrong or len(shards) > _MOST_SHARDS:
        raise ValueError(
            f"The index must name at most {_MOST_SHARDS} files beside it, {_STEM}*.safetensors. "
            f"Received: {len(shards)}, {[name[:80] for name in wrong[:1]]} in {path}"
        )
    return places
