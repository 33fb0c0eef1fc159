"""Run by test_launched.py: `keras-vae train` on few digits, by one process or by several.

python tests/support/launched_child.py train ARGUMENTS     one process, as torchrun starts it
python tests/support/launched_child.py slurm FOLDER PORT   FOLDER/one by one process, and
    FOLDER/two by two, one of which is killed before all are started again
"""

import os
import signal
import sys
import traceback
from pathlib import Path

# The epoch that one process does not live to begin, the first time.
KILLED_BEFORE = 2


def prepare():
    """Packaged digits in place of MNIST; no pictures, which would take most of the time."""
    from keras_vae import datasets
    from tools import demo
    from tools.presets import card

    x, y = demo.digits()
    parts = {"train": slice(0, 46), "validation": slice(50, 70), "test": slice(70, 80)}
    datasets.load = lambda name, split, limit=None: datasets.Data(x[parts[split]], y[parts[split]])
    card.write = lambda folder: None


def train(arguments):
    """The command line, in which process 1 is killed if the environment says so."""
    from keras_vae import distribution
    from tools.__main__ import main
    from tools.presets.train import TimeLeft

    begin = TimeLeft.on_epoch_begin
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"

    def on_epoch_begin(self, epoch, logs=None):
        begin(self, epoch, logs)
        if epoch == KILLED_BEFORE and distribution.current().rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    if "KILLED" in os.environ and not again:
        TimeLeft.on_epoch_begin = on_epoch_begin
    return main(["train", *arguments])


def fork(arguments, **environment):
    """`train` in a process of its own, for which imports are paid already."""
    child = os.fork()
    if child:
        return child
    # One that hangs would keep the pipes of whoever waits for it open for ever.
    signal.alarm(200)
    os.environ.update(environment)
    status = 1
    try:
        status = train(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def status(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def slurm(folder, job):
    """One process, then two of SLURM's, of which one is killed, then two again."""
    # Saving a preset imports it.
    import tensorflow  # noqa: F401

    from tools import commands  # noqa: F401

    recipe, two = str(folder / "recipe"), ["--out", str(folder / "two")]
    assert status(fork([recipe, "--out", str(folder / "one")])) == 0
    step = {
        "SLURM_JOB_ID": job,
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": "2",
    }
    ranks = [{**step, "SLURM_PROCID": r, "SLURM_LOCALID": r} for r in "01"]
    first, second = (fork([recipe, *two], **rank, KILLED="yes") for rank in ranks)
    assert status(second) == -signal.SIGKILL
    # As SLURM does where one task of a step has failed.
    os.kill(first, signal.SIGKILL)
    assert status(first) == -signal.SIGKILL
    assert (folder / ".runs/two/state/state.json").is_file(), "nothing to go on from"
    children = [fork([recipe, *two], **rank) for rank in ranks]
    assert [status(child) for child in children] == [0, 0]


if __name__ == "__main__":
    prepare()
    if sys.argv[1] == "slurm":
        slurm(Path(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(train(sys.argv[2:]))
