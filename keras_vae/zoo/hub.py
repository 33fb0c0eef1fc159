"""Presets on the Hugging Face Hub: download, check, cache, upload.

A downloaded preset is untrusted: it is checked and loaded like any other folder.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

from keras_vae import _atomic

PREFIX = "hf://"
MOST_BYTES = 2**32
_WORD = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
_NAME = re.compile(rf"{PREFIX}({_WORD}/{_WORD})(?:@([A-Za-z0-9_][A-Za-z0-9._-]{{0,95}}))?")


def is_name(name):
    """Whether a name is that of a preset on the hub."""
    return isinstance(name, str) and name.startswith(PREFIX)


def parse(name):
    """`(repository, revision)` of "hf://user/repo" or "hf://user/repo@revision".

    Raises:
        ValueError: another name.
    """
    match = _NAME.fullmatch(name)
    if not match or ".." in name:
        raise ValueError(
            f"A preset of the hub is named hf://user/repo or hf://user/repo@revision. "
            f"Received: {name!r}"
        )
    return match[1], match[2] or "main"


def cache():
    """The folder of downloaded presets, in that of Keras: `KERAS_HOME`, or ~/.keras."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "models" / "keras_vae" / "hub"


def offline():
    """Whether the environment variable `HF_HUB_OFFLINE` forbids downloads."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def fetch(name, wanted, optional, check):
    """The folder of a preset of the hub, downloaded unless it is in the cache.

    Args:
        name: "hf://user/repo", or "hf://user/repo@revision".
        wanted, optional: names of files that a preset must have, and may have.
        check: function that raises an error if a downloaded folder is not a preset.

    Returns:
        The folder in the cache. It never changes.

    Raises:
        ValueError: no such repository, or it holds no preset.
        OSError: no connection, and no copy in the cache.
        ImportError: huggingface_hub is not installed, and there is no copy either.
    """
    repository, revision = parse(name)
    root = cache() / repository.replace("/", "--")
    if offline():
        return _kept(root, revision, name, "HF_HUB_OFFLINE is set")
    try:
        api, errors = _api()
        repository_info = api.model_info(repository, revision=revision, files_metadata=True)
    except ImportError as error:
        return _kept(root, revision, name, error, ImportError)
    except Exception as error:
        if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 404):
            raise ValueError(
                f"There is no such repository on the hub, or it is private. Received: {name!r}"
            ) from error
        return _kept(root, revision, name, error)
    if not re.fullmatch("[0-9a-f]{40}", repository_info.sha or ""):
        raise ValueError(f"The hub names no commit. Received: {repository_info.sha!r} for {name!r}")
    folder = root / repository_info.sha
    if not folder.is_dir():
        sizes = {file.rfilename: file.size or 0 for file in repository_info.siblings}
        missing = [file for file in wanted if file not in sizes]
        if missing:
            raise ValueError(
                f"The repository holds no preset: no {', '.join(missing)}. Received: {name!r}"
            )
        files = [file for file in (*wanted, *optional) if file in sizes]
        if sum(sizes[file] for file in files) > MOST_BYTES:
            raise ValueError(f"The preset is larger than {MOST_BYTES:,} bytes. Received: {name!r}")
        _download(api, repository, repository_info.sha, files, folder, check)
    _atomic.write_text(root / f"{revision}.ref", repository_info.sha)
    return folder


def _download(api, repository, commit, files, folder, check):
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as temporary:
        new = Path(temporary) / folder.name
        new.mkdir()
        for file in files:
            got = api.hf_hub_download(
                repository, file, revision=commit, local_dir=Path(temporary) / "files"
            )
            if Path(got).stat().st_size > MOST_BYTES:
                raise ValueError(f"{file} is larger than {MOST_BYTES:,} bytes. Received: {got}")
            shutil.copyfile(got, new / file)
        check(new)
        try:
            os.replace(new, folder)
        except OSError:
            # Another process was faster; a commit has only one content.
            if not folder.is_dir():
                raise


def _kept(root, revision, name, reason, kind=OSError):
    """The copy of a revision in the cache."""
    reference = root / f"{revision}.ref"
    commit = reference.read_text(encoding="utf-8") if reference.is_file() else revision
    if re.fullmatch("[0-9a-f]{40}", commit) and (root / commit).is_dir():
        return root / commit
    raise kind(
        f"The preset cannot be fetched, and the cache {root} has no copy: {reason}. "
        f"Received: {name!r}"
    )


def push(folder, name, message, private):
    """Uploads the files of a preset folder to a repository, in one commit.

    Returns:
        "hf://user/repo@commit".
    """
    repository, revision = parse(name)
    api, _ = _api()
    api.create_repo(repository, exist_ok=True, private=private)
    done = api.upload_folder(
        repo_id=repository, folder_path=folder, revision=revision, commit_message=message
    )
    return f"{PREFIX}{repository}@{done.oid}"


def _api():
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise ImportError(
            "Presets of the hub need huggingface_hub: pip install 'keras-vae[hub]'. "
            f"Received: {error}"
        ) from error
    # Read at each call and not when the library was imported.
    return huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None), errors
