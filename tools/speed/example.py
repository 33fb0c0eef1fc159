"""`benchmark --example`: the VAE of keras.io's code example beside `models.VAE` of its layers."""

import statistics
import time

import keras
import numpy as np
from keras import layers, ops

from keras_vae import models, posteriors

from .. import machine

# Of that example, "Variational AutoEncoder": its code, its batch and its pictures.
LATENT_DIM, BATCH_SIZE, SHAPE = 2, 128, (28, 28, 1)


def networks(logits):
    """The example's encoder, up to its last hidden layer, and its decoder.

    Args:
        logits: whether the decoder ends in logits, as ours do, or in a sigmoid.
    """
    encoder = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(32, 3, 2, "same", activation="relu"),
            layers.Conv2D(64, 3, 2, "same", activation="relu"),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((LATENT_DIM,)),
            layers.Dense(7 * 7 * 64, activation="relu"),
            layers.Reshape((7, 7, 64)),
            layers.Conv2DTranspose(64, 3, 2, "same", activation="relu"),
            layers.Conv2DTranspose(32, 3, 2, "same", activation="relu"),
            layers.Conv2DTranspose(1, 3, padding="same", activation=None if logits else "sigmoid"),
        ]
    )
    return encoder, decoder


def ours():
    """Compiled with Adam."""
    model = models.VAE(*networks(logits=True), posteriors.DiagonalNormal(LATENT_DIM), seed=0)
    model.compile(keras.optimizers.Adam())
    return model


def by_train_step():
    """As the example does it: a `keras.Model` with a `train_step` of its own, on TensorFlow.

    Raises:
        ValueError: another backend.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "keras.io's example is written for TensorFlow: python -m tools --backend tensorflow "
            f"benchmark --example. Received: backend {keras.backend.backend()!r}"
        )
    import tensorflow as tf

    class Example(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = networks(logits=False)
            self.mean, self.log_var = layers.Dense(LATENT_DIM), layers.Dense(LATENT_DIM)
            self.noise = keras.random.SeedGenerator(0)
            self.means = [keras.metrics.Mean(name) for name in ("loss", "reconstruction", "kl")]

        @property
        def metrics(self):
            return self.means

        def train_step(self, x):
            with tf.GradientTape() as tape:
                h = self.encoder(x)
                mean, log_var = self.mean(h), self.log_var(h)
                noise = keras.random.normal(ops.shape(mean), seed=self.noise)
                rebuilt = self.decoder(mean + ops.exp(0.5 * log_var) * noise)
                errors = keras.losses.binary_crossentropy(x, rebuilt)
                reconstruction = ops.mean(ops.sum(errors, axis=(1, 2)))
                kl = -0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var))
                kl = ops.mean(ops.sum(kl, axis=1))
                loss = reconstruction + kl
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
            for metric, value in zip(self.means, (loss, reconstruction, kl), strict=True):
                metric.update_state(value)
            return {metric.name: metric.result() for metric in self.means}

    model = Example()
    model.compile(keras.optimizers.Adam())
    return model


def beside(rounds=5, steps=200, epochs=3):
    """Prints images a second of both, by turns, and how often ours is as fast.

    Args:
        rounds: turns of each after a first epoch, of which the medians are taken.
        steps: batches of an epoch.
        epochs: of a turn.

    Returns:
        A `dict` of the figures.
    """
    x = np.random.default_rng(0).random((steps * BATCH_SIZE, *SHAPE), "float32")
    runs = {"example": by_train_step(), "ours": ours()}
    first, wall, cpu = {}, {name: [] for name in runs}, {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, model in runs.items():
            began = time.perf_counter(), time.process_time()
            model.fit(x, batch_size=BATCH_SIZE, epochs=epochs if turn else 1, verbose=0)
            seconds = time.perf_counter() - began[0], time.process_time() - began[1]
            if turn:
                wall[name].append(seconds[0])
                cpu[name].append(seconds[1])
            else:
                first[name] = seconds[0]
    found = {"hardware": machine.hardware(), "steps": steps, "epochs": epochs, "rounds": rounds}
    for name in runs:
        found[f"{name}_per_second"] = epochs * len(x) / statistics.median(wall[name])
        found[f"{name}_first"] = first[name]
    for clock, seconds in (("wall", wall), ("cpu", cpu)):
        pairs = zip(seconds["example"], seconds["ours"], strict=True)
        found[f"ratio_{clock}"] = statistics.median(a / b for a, b in pairs)
    print(found["hardware"])
    print("| | images / s | first epoch, s |\n|---|---|---|")
    for name, title in (("example", "keras.io's example"), ("ours", "models.VAE of its layers")):
        print(f"| {title} | {found[f'{name}_per_second']:.0f} | {found[f'{name}_first']:.1f} |")
    print(f"Ours over the example's: {found['ratio_wall']:.2f} wall, {found['ratio_cpu']:.2f} CPU")
    return found
