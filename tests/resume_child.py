"""Run by test_callbacks.py and by itself: training that is killed, and that goes on.

python tests/resume_child.py train FOLDER     trains; writes FOLDER/done.npz at its end
python tests/resume_child.py kill FOLDER N    kills it N times, compares with a whole run
"""

import os
import random
import signal
import subprocess
import sys
import time
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
    environment = {**os.environ, "RESUME_SLEEP": str(sleep)}
    command = [sys.executable, __file__, "train", str(folder)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors[-3000:])


def killed(folder, kills, seed=0, longest=1.5):
    """Kills training `kills` times at random moments after it began; then lets it end."""
    rng, done = random.Random(seed), 0
    while done < kills:
        (folder / "began").unlink(missing_ok=True)
        # Slow enough that a kill meets it before its end.
        process = start(folder, sleep=longest / (6 * EPOCHS))
        while not (folder / "began").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, longest))
        ended = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if ended:
            # A whole run: what it left is the result; begin anew for the kills to come.
            yield done
            for path in sorted(folder.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
        else:
            done += 1
    finish(start(folder))
    yield done


def differences(one, other):
    """The largest difference of anything that a run leaves, and where."""
    with np.load(one / "done.npz") as a, np.load(other / "done.npz") as b:
        assert set(a) == set(b), set(a) ^ set(b)
        found = {}
        for name in a:
            assert a[name].shape == b[name].shape, name
            gap = np.abs(a[name].astype("float64") - b[name].astype("float64"))
            found[name] = float(gap.max(initial=0.0))
    return found


def main():
    command, folder = sys.argv[1], Path(sys.argv[2])
    if command == "train":
        return train(folder)
    folder.mkdir(parents=True, exist_ok=True)
    finish(start(folder / "whole"))
    run, compared = folder / "killed", []
    run.mkdir(exist_ok=True)
    for count in killed(run, int(sys.argv[3])):
        found = differences(folder / "whole", run)
        worst = max(found, key=found.get)
        compared.append(found[worst])
        print(f"after {count} kills: {worst} differs by {found[worst]:g}", flush=True)
    print(f"{len(compared)} runs compared, worst difference {max(compared):g}")


if __name__ == "__main__":
    main()
