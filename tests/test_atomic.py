"""Whole or not at all: under kills, full disks and other processes at the same time."""

import errno
import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_vae import _atomic, zoo
from keras_vae.zoo import untrusted
from tests.support.presets import IMAGES, tiny

pytestmark = pytest.mark.once


# Without Keras, which takes seconds to import; the file imports nothing of the package.
CHILD = """
import importlib.util, random, shutil, sys
spec = importlib.util.spec_from_file_location("atomic", sys.argv[1])
atomic = importlib.util.module_from_spec(spec)
spec.loader.exec_module(atomic)
from pathlib import Path
target, rounds, seed = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
sources = [Path(p) for p in sys.argv[5:]]
rng = random.Random(seed)
print("began", flush=True)
for _ in range(rounds):
    source = rng.choice(sources)
    if source.is_dir():
        with atomic.folder(target, {"metadata.json"}, "preset") as new:
            for file in source.iterdir():
                shutil.copy(file, new)
    else:
        with atomic.file(target) as new:
            shutil.copy(source, new)
"""


def child(target, rounds, seed, *sources):
    arguments = [_atomic.__file__, target, rounds, seed, *sources]
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "began\n"
    return process


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two presets of other sizes."""
    root = tmp_path_factory.mktemp("two")
    return [zoo.save(tiny(units=(n,)), root / f"units_{n}") for n in (4, 5)]


@pytest.fixture
def target(two, tmp_path):
    return Path(shutil.copytree(two[0], tmp_path / "place" / "target"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_file_needs_nothing_of_the_package():
    assert importlib.util.find_spec("keras_vae._atomic").origin == _atomic.__file__
    assert "import keras" not in Path(_atomic.__file__).read_text()


def test_readers_and_writers_at_once_see_whole_presets(two, target):
    """Two processes replace a preset over and over; this one reads, loads and saves."""
    writers = [child(target, 10**6, seed, *two) for seed in (1, 2)]
    whole = [contents(folder) for folder in two]
    codes = {model.encode(IMAGES).tobytes() for model in map(zoo.load, two)}
    seen = []
    try:
        for _ in range(150):
            with untrusted.copied(target, whole[0]) as copy:
                seen.append(whole.index(contents(copy)))
        loaded = [zoo.load(target).encode(IMAGES).tobytes() for _ in range(5)]
        for _ in range(3):
            zoo.save(tiny(), target)
        assert all(writer.poll() is None for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert set(seen) == {0, 1} and set(loaded) <= codes
    assert zoo.load(target).encode(IMAGES).tobytes() in codes


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_kill_at_any_moment_leaves_one_or_the_other(kind, two, target):
    rng = random.Random(0)
    if kind == "file":
        two = [folder / "config.json" for folder in two]
        target = target / "config.json"
    for seed in range(8):
        writer = child(target, 10**6, seed, *two)
        time.sleep(rng.uniform(0.0, 0.05))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        place = _atomic.place(target, {"metadata.json"})
        if kind == "file":
            assert place.read_bytes() in [source.read_bytes() for source in two]
        else:
            assert contents(place) in [contents(source) for source in two]
    # The next save leaves nothing of the killed ones behind.
    again = child(target, 1, 0, *two)
    assert again.wait() == 0
    if kind == "file":
        assert sorted(path.name for path in target.parent.iterdir()) == sorted(
            contents(two[0].parent)
        )
    else:
        assert list(target.parent.iterdir()) == [target]


class TestTheNeighbourhood:
    """What lies beside a preset is not ours to move."""

    @pytest.fixture
    def preset(self, two, tmp_path):
        return Path(shutil.copytree(two[0], tmp_path / "preset"))

    @pytest.mark.parametrize("use", [zoo.load, zoo.info, zoo.folder])
    def test_reading_changes_nothing_beside_it(self, preset, use):
        thesis = preset.with_name(".preset.previous")
        thesis.mkdir()
        (thesis / "chapter.txt").write_text("years of work")
        use(preset)
        assert (thesis / "chapter.txt").read_text() == "years of work"
        shutil.rmtree(preset)
        with pytest.raises(ValueError, match="no such folder"):
            use(preset)
        assert (thesis / "chapter.txt").read_text() == "years of work" and not preset.exists()

    @pytest.mark.parametrize("there", [True, False])
    def test_saving_leaves_what_is_not_ours(self, preset, there):
        thesis = preset.with_name(".preset.previous")
        thesis.mkdir()
        (thesis / "chapter.txt").write_text("years of work")
        if not there:
            shutil.rmtree(preset)
        before = contents(preset) if there else None
        with pytest.raises(FileExistsError, match="move that away. Received: .*previous"):
            zoo.save(tiny(), preset)
        assert (thesis / "chapter.txt").read_text() == "years of work"
        assert preset.exists() == there and (not there or contents(preset) == before)

    def test_a_link_of_that_name_is_not_followed(self, preset, two):
        shutil.copytree(two[1], preset.parent / "elsewhere")
        preset.with_name(".preset.previous").symlink_to(preset.parent / "elsewhere")
        shutil.rmtree(preset)
        with pytest.raises(ValueError, match="no such folder"):
            zoo.load(preset)
        with pytest.raises(FileExistsError, match="move that away"):
            zoo.save(tiny(), preset)
        assert contents(preset.parent / "elsewhere") == contents(two[1])

    def test_a_preset_behind_a_link_is_saved_again_and_again(self, preset):
        link = preset.parent / "place" / "link"
        link.parent.mkdir()
        link.symlink_to(preset)
        for units in (5, 6, 7):
            zoo.save(tiny(units=(units,)), link)
            assert link.is_symlink() and not preset.is_symlink()
            assert contents(link) == contents(preset)
            assert zoo.load(link).encode(IMAGES).tobytes() == (
                tiny(units=(units,)).encode(IMAGES).tobytes()
            )
        assert list(link.parent.iterdir()) == [link]
        assert sorted(p.name for p in preset.parent.iterdir()) == ["place", "preset"]

    def test_a_file_behind_a_link(self, tmp_path):
        (tmp_path / "file").write_text("old")
        (tmp_path / "link").symlink_to(tmp_path / "file")
        for text in ("new", "newer"):
            _atomic.write_text(tmp_path / "link", text)
            assert (tmp_path / "file").read_text() == text and (tmp_path / "link").is_symlink()

    def test_only_folders_of_dead_saves_are_swept(self, preset):
        dead = preset.with_name(".preset.keras_vae-dead")
        others = [".preset.abc", ".other.keras_vae-1", ".preset.keras_vae.txt"]
        for name in (dead.name, *others):
            preset.with_name(name).mkdir()
        with _atomic.file(preset.with_name("preset")) as alive:
            zoo.save(tiny(), preset)
            assert alive.parent.is_dir()
            shutil.copytree(preset, alive)
            shutil.rmtree(preset)
        assert not dead.exists()
        assert sorted(p.name for p in preset.parent.iterdir()) == sorted(["preset", *others])

    @pytest.mark.parametrize("umask, mode", [(0o077, 0o700), (0o022, 0o755), (0o027, 0o750)])
    def test_the_umask_is_honoured(self, tmp_path, umask, mode):
        before = os.umask(umask)
        try:
            path = zoo.save(tiny(), tmp_path / "deep" / "preset")
            _atomic.write_text(tmp_path / "text", "text")
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o777 == mode
        for file in (*path.iterdir(), tmp_path / "text"):
            assert file.stat().st_mode & 0o777 == mode & 0o666


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 160 kB, where this machine lets one be made."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and shutil.which("mount")
    if (
        not mounted
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", disk], capture_output=True
        ).returncode
    ):
        pytest.skip("only root may make a disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


class TestFullDisk:
    @pytest.mark.parametrize("what", ["preset", "model.keras", "model.weights.h5"])
    def test_what_was_there_stays(self, small_disk, what):
        def write(model):
            path = small_disk / what
            if what == "preset":
                zoo.save(model, path)
            elif what == "model.keras":
                model.save(path)
            else:
                model.save_weights(path)

        def read():
            return {p.name: p.read_bytes() for p in sorted(small_disk.rglob("*")) if p.is_file()}

        if what != "preset":
            (small_disk / what).write_bytes(b"the file before")
        else:
            source = zoo.save(tiny(), small_disk.parent / "source")
            shutil.copytree(source, small_disk / what)
        before = read()
        with pytest.raises(OSError, match="No space left on device") as caught:
            write(tiny(units=(2000,)))
        assert caught.value.errno == errno.ENOSPC
        assert read() == before
        assert [p.name for p in small_disk.iterdir()] == [what]

    def test_room_is_asked_for_before_hdf5_is(self, tmp_path, monkeypatch):
        model, path = tiny(), tmp_path / "m.weights.h5"
        model.save_weights(path)
        assert path.stat().st_size <= model._bytes() < 40 * path.stat().st_size
        before = path.read_bytes()
        usage = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
        with pytest.raises(OSError, match="bytes are needed. Received: 1,000 free"):
            model.save_weights(path)
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    """For root too, whom no permission stops."""
    path = zoo.save(tiny(), tmp_path / "preset")
    before = contents(path)

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(_atomic.tempfile, "mkdtemp", refuse)
    for write in (
        lambda: zoo.save(tiny(units=(5,)), path),
        lambda: tiny().save(tmp_path / "m.keras"),
    ):
        with pytest.raises(PermissionError, match="Permission denied"):
            write()
    assert contents(path) == before and list(tmp_path.iterdir()) == [path]


pytestmark = pytest.mark.once


def test_writing_a_text_keeps_the_old_one_on_an_error(tmp_path, monkeypatch):
    _atomic.write_text(tmp_path / "README.md", "old")
    monkeypatch.setattr(_atomic.os, "replace", _fail)
    with pytest.raises(OSError, match="full"):
        _atomic.write_text(tmp_path / "README.md", "new")
    assert (tmp_path / "README.md").read_text() == "old"


def _fail(*args):
    raise OSError("disk full")
