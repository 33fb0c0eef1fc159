"""Presets on the Hugging Face Hub: download, check, cache, upload.

A downloaded preset is untrusted: it is checked and loaded like any other folder.
"""

import hashlib
import os
import re
import tempfile
from pathlib import Path

from keras_vae import _atomic

PREFIX = "hf://"
MOST_BYTES = 2**32
# None ends with a dot, which some file systems drop.
_WORD = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?"
_INNER = r"(?:/[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,58}[A-Za-z0-9_-])?){0,2}"
_NAME = re.compile(rf"{PREFIX}({_WORD}/{_WORD})({_INNER})(?:@({_WORD}))?")


def is_name(name):
    """Whether a name is that of a preset on the hub."""
    return isinstance(name, str) and name.startswith(PREFIX)


def parse(name):
    """`(repository, folder, revision)` of "hf://user/repo/folder@revision".

    The folder may be absent, and the revision too.

    Raises:
        ValueError: another name.
    """
    match = _NAME.fullmatch(name)
    if not match or ".." in name or "--" in match[1]:
        raise ValueError(
            "A preset of the hub is named hf://user/repo, hf://user/repo/folder or "
            f"hf://user/repo@revision. Received: {name!r}"
        )
    return match[1], match[2].lstrip("/"), match[3] or "main"


def cache():
    """The folder of downloaded presets, in that of Keras: `KERAS_HOME`, or ~/.keras."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "models" / "keras_vae" / "hub"


def offline():
    """Whether the environment variable `HF_HUB_OFFLINE` forbids downloads."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def fetch(name, wanted, check):
    """The folder of a preset of the hub, downloaded unless it is in the cache.

    Args:
        name: see `parse`.
        wanted: function that chooses what to download, given the paths of a repository's
            files, the folder that the name asks for, and a function that downloads one file
            and returns its path. It returns the paths, all of one folder.
        check: function that raises an error if a downloaded folder is not a preset.

    Returns:
        The folder in the cache. It never changes.

    Raises:
        ValueError: no such repository, or it holds no preset.
        OSError: no connection, and no copy in the cache.
        ImportError: huggingface_hub is not installed, and there is no copy either.
    """
    repository, inner, revision = parse(name)
    root = cache() / repository
    if offline():
        return _kept(root, inner, revision, name, "HF_HUB_OFFLINE is set")
    try:
        api, errors = _api()
        found = api.model_info(repository, revision=revision, files_metadata=True)
    except ImportError as error:
        return _kept(root, inner, revision, name, error, ImportError)
    except Exception as error:
        if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 404):
            raise ValueError(
                f"There is no such repository on the hub, or it is private. Received: {name!r}"
            ) from error
        return _kept(root, inner, revision, name, error)
    if not re.fullmatch("[0-9a-f]{40}", found.sha or ""):
        raise ValueError(f"The hub names no commit. Received: {found.sha!r} for {name!r}")
    folder = _place(root, found.sha, inner)
    if not folder.is_dir():
        sizes = {file.rfilename: file.size or 0 for file in found.siblings}
        download = _Download(api, repository, found.sha, sizes, name)
        _fill(folder, lambda: wanted(list(sizes), inner, download), download, check)
    _atomic.write_text(_reference(root, revision, inner), found.sha)
    return folder


def _place(root, commit, inner):
    """The cache's folder of a folder in a commit. No name of the hub has an @."""
    return root / "@".join([_apart(commit), *map(_apart, filter(None, inner.split("/")))])


def _apart(word):
    """A word that no other one equals where a file system makes no difference of case.

    Repositories are told apart by the hub itself, which does not either. No name has a ~.
    """
    if word == word.lower():
        return word
    return f"{word}~{hashlib.sha256(word.encode()).hexdigest()[:8]}"


def _reference(root, revision, inner):
    """The file that names the commit of a revision when a folder was fetched last."""
    place = _place(root, revision, inner)
    return place.with_name(f"{place.name}.ref")


class _Download:
    """Downloads files of a commit into `folder`, up to `MOST_BYTES` together."""

    def __init__(self, api, repository, commit, sizes, name):
        self.api, self.repository, self.commit = api, repository, commit
        self.sizes, self.name, self.done, self.folder = sizes, name, {}, None

    def __call__(self, file):
        """The path of a downloaded file."""
        self.check([*self.done, file])
        if file not in self.done:
            got = self.api.hf_hub_download(
                self.repository, file, revision=self.commit, local_dir=self.folder
            )
            self.done[file] = Path(got)
            # It may be larger than the hub says.
            self.sizes[file] = self.done[file].stat().st_size
            self.check(self.done)
        return self.done[file]

    def check(self, files):
        """Raises `ValueError` if files are too large together."""
        if sum(self.sizes.get(file, 0) for file in set(files)) > MOST_BYTES:
            raise ValueError(
                f"The preset is larger than {MOST_BYTES:,} bytes. Received: {self.name!r}"
            )


def _fill(folder, wanted, download, check):
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as temporary:
        new = Path(temporary) / folder.name
        new.mkdir()
        download.folder = Path(temporary) / "files"
        files = wanted()
        download.check(files)
        for file in files:
            os.replace(download(file), new / file.split("/")[-1])
        check(new)
        try:
            os.replace(new, folder)
        except OSError:
            # Another process was faster; a commit has only one content.
            if not folder.is_dir():
                raise


def _kept(root, inner, revision, name, reason, kind=OSError):
    """The copy of a revision in the cache."""
    reference = _reference(root, revision, inner)
    commit = reference.read_text(encoding="utf-8") if reference.is_file() else revision
    if re.fullmatch("[0-9a-f]{40}", commit) and _place(root, commit, inner).is_dir():
        return _place(root, commit, inner)
    raise kind(
        f"The preset cannot be fetched, and the cache {root} has no copy: {reason}. "
        f"Received: {name!r}"
    )


def push(folder, name, message, private):
    """Uploads the files of a preset folder to a repository, in one commit.

    Returns:
        "hf://user/repo@commit".
    """
    repository, inner, revision = parse(name)
    api, _ = _api()
    api.create_repo(repository, exist_ok=True, private=private)
    done = api.upload_folder(
        repo_id=repository,
        folder_path=folder,
        path_in_repo=inner or None,
        revision=revision,
        commit_message=message,
    )
    return f"{PREFIX}{'/'.join(filter(None, (repository, inner)))}@{done.oid}"


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
