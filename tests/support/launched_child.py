"""Run by test_launched.py: `keras-vae train` on few digits, by one process or by several.

python tests/support/launched_child.py all FOLDER torchrun|SLURM PORT
    FOLDER/one by one process, and FOLDER/two by two with that launcher's variables, one of which
    is killed before all are started again
torchrun --standalone --nproc-per-node=2 --max-restarts=1 tests/support/launched_child.py train \
    RECIPE --out OUT    by hand: the same, by the launcher itself
"""

import os
import signal
import sys
import time
import traceback
from pathlib import Path

# The epoch that one process does not live to begin, the first time.
KILLED_BEFORE = 1


def prepare():
    """Packaged digits in place of MNIST; of the preset only its weights, as the rest takes long."""
    from keras_vae import datasets, zoo
    from tools import demo
    from tools.presets import card

    x, y = demo.digits()
    parts = {"train": slice(0, 46), "validation": slice(50, 70), "test": slice(70, 80)}
    datasets.load = lambda name, split, limit=None: datasets.Data(x[parts[split]], y[parts[split]])
    card.write = lambda folder: None
    zoo.save = save


def save(model, folder, metadata, golden, files):
    # By one process after the others have gone.
    assert model.encode(golden[0]).shape == (len(golden[0]), 2)
    folder.mkdir()
    model.save_weights(folder / "model.weights.h5")
    for name, text in files.items():
        (folder / name).write_text(text)


def train(arguments, killed=False):
    """The command line; process 1 is killed if so wished, but not again after a restart."""
    from keras_vae import distribution
    from tools.__main__ import main
    from tools.presets.train import TimeLeft

    begin, out = TimeLeft.on_epoch_begin, Path(arguments[-1])
    state = out.parent / ".runs" / out.name / "state" / "state.json"

    def on_epoch_begin(self, epoch, logs=None):
        begin(self, epoch, logs)
        if epoch == KILLED_BEFORE and distribution.current().rank == 1:
            # Process 0 is as far, and about to keep what all can go on from.
            while not state.is_file():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)

    if killed and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        TimeLeft.on_epoch_begin = on_epoch_begin
    return main(["train", *arguments])


def fork(arguments, killed=False, **environment):
    """`train` in a process of its own, for which imports are paid already."""
    child = os.fork()
    if child:
        return child
    # One that hangs would keep the pipes of whoever waits for it open for ever.
    signal.alarm(200)
    os.environ.update(environment)
    status = 1
    try:
        status = train(arguments, killed)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def status(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def variables(launcher, port, rank):
    """What a launcher tells each of two processes."""
    if launcher == "torchrun":
        local = {"LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": "2"}
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        return {"RANK": rank, "WORLD_SIZE": "2", **local, **address}
    return {
        "SLURM_PROCID": rank,
        "SLURM_LOCALID": rank,
        # Its port is made of the job's number.
        "SLURM_JOB_ID": port,
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": "2",
    }


def all_of(folder, launcher, port):
    """One process, then two of which one is killed, then two again."""
    from tools import commands  # noqa: F401

    recipe, two = str(folder / "recipe"), ["--out", str(folder / "two")]
    assert status(fork([recipe, "--out", str(folder / "one")])) == 0
    ranks = [variables(launcher, port, rank) for rank in "01"]
    first, second = (fork([recipe, *two], killed=True, **rank) for rank in ranks)
    assert status(second) == -signal.SIGKILL
    # As launchers do where one process has failed.
    os.kill(first, signal.SIGKILL)
    status(first)
    children = [fork([recipe, *two], **rank) for rank in ranks]
    assert [status(child) for child in children] == [0, 0]


if __name__ == "__main__":
    prepare()
    if sys.argv[1] == "all":
        all_of(Path(sys.argv[2]), *sys.argv[3:])
    else:
        sys.exit(train(sys.argv[2:], killed="RANK" in os.environ))
