"""Run by test_callbacks.py and by itself: training that is killed, and that goes on.

python tests/support/resume_child.py train FOLDER     trains; writes FOLDER/done.npz at its end
python tests/support/resume_child.py kill FOLDER N    kills it N times, compares with a whole run
"""

import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np

EPOCHS = 4


def train(folder):
    """A model with everything that has a state: dropout, schedules, averages, two optimizers."""
    import keras

    from keras_vae import callbacks, models

    rng = np.random.default_rng(0)
    x = rng.random((50, 6), "float32")
    model = models.factor_vae((6,), 2, units=(4,), discriminator_units=(4,), seed=0)

    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(0.01, 40), use_ema=True, ema_momentum=0.9
        )
    )
    folder.mkdir(parents=True, exist_ok=True)
    history = model.fit(
        x,
        batch_size=8,
        epochs=EPOCHS,
        validation_split=0.1,
        verbose=0,
        callbacks=[
            callbacks.Resume(folder / "state", seed=3, keep=True, log=folder / "log.csv"),
            callbacks.SwapAverages(swap_on_epoch=True),
            Slowly(folder),
        ],
    ).history
    values = {f"weight {i}": w for i, w in enumerate(model.get_weights())}
    for name in ("optimizer", "discriminator_optimizer"):
        for i, v in enumerate(getattr(model, name).variables):
            values[f"{name} {i}"] = keras.ops.convert_to_numpy(v)
    values["noise"] = keras.ops.convert_to_numpy(model.seed_generator.state)
    values["drawn"] = np.random.random(3)
    values.update({f"history {k}": v for k, v in history.items()})
    np.savez(folder / "part.npz", **values)
    os.replace(folder / "part.npz", folder / "done.npz")


def Slowly(folder):
    """A callback that draws from NumPy's global generator, and says where training is."""
    import keras

    class Slowly(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            np.random.random()
            time.sleep(float(os.environ.get("RESUME_SLEEP", 0)))

        def on_epoch_begin(self, epoch, logs=None):
            (folder / "began").touch()

    return Slowly()


def start(folder, sleep=0.0):
    """Trains in a process of its own: a fork, so that imports are paid for once."""
    child = os.fork()
    if child:
        return child
    # One that hangs would keep the pipes of whoever waits for it open for ever.
    signal.alarm(100)
    os.environ["RESUME_SLEEP"] = str(sleep)
    status = 1
    try:
        train(folder)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def finish(child):
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise RuntimeError(f"Training ended with {status}.")


def killed(folder, kills, seed=0, longest=0.5):
    """Kills training `kills` times at random moments; yields where a run comes to its end.

    About every fourth kill the run is left alone, to be compared.
    """
    rng = random.Random(seed)
    for kill in range(1, kills + 1):
        (folder / "began").unlink(missing_ok=True)
        # Slow enough that a kill meets it before its end.
        child = start(folder, sleep=longest / (3 * EPOCHS))
        ended = 0
        while not (folder / "began").exists() and not ended:
            ended, _ = os.waitpid(child, os.WNOHANG)
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, longest))
        if not ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        if kill % 4 == 0 or kill == kills:
            finish(start(folder))
            yield kill
            shutil.rmtree(folder)
            folder.mkdir()


def differences(one, other):
    """The largest difference of anything that a run leaves, and where."""
    with np.load(one / "done.npz") as a, np.load(other / "done.npz") as b:
        assert set(a) == set(b), set(a) ^ set(b)
        gaps = {}
        for name in a:
            assert a[name].shape == b[name].shape, name
            gap = np.abs(a[name].astype("float64") - b[name].astype("float64"))
            gaps[name] = float(gap.max(initial=0.0))
    return gaps


def main():
    command, folder = sys.argv[1], Path(sys.argv[2])
    if command == "train":
        return train(folder)
    # Not yet used: a backend that has begun to compute is not to be forked.
    import keras

    import keras_vae  # noqa: F401

    folder.mkdir(parents=True, exist_ok=True)
    finish(start(folder / "whole"))
    run, compared = folder / "killed", []
    run.mkdir(exist_ok=True)
    for count in killed(run, int(sys.argv[3])):
        gaps = differences(folder / "whole", run)
        worst = max(gaps, key=gaps.get)
        compared.append(gaps[worst])
        print(f"after {count} kills: {worst} differs by {gaps[worst]:g}", flush=True)
    print(
        f"{keras.backend.backend()}: {sys.argv[3]} kills, {len(compared)} runs compared, "
        f"worst difference {max(compared):g}"
    )


if __name__ == "__main__":
    main()
