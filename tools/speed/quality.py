"""`benchmark --quality`: the bound of kinds of convolutional networks after each epoch."""

import time

import keras

from keras_vae import datasets, models, networks

# A wide dense layer beside the code, and none.
WIDTHS = (0, 256)
# Of a data set: latent dimensions, batch size, and what else its model is made with.
MODELS = {
    "mnist": (32, 128, {}),
    "celeb_a_64": (64, 64, {"likelihood": "optimal_normal", "output_activation": "sigmoid"}),
}


def curves(data, epochs=5, limit=None, stages=networks.STAGES, widths=WIDTHS, seed=0):
    """Trains networks of each kind; prints their bounds on the validation split.

    Args:
        data: a name of `MODELS`.
        epochs: how many epochs each trains, with Adam's default rate.
        limit: how many training examples at most, or None.
        stages: values of `stages` of `networks.build`.
        widths: values of its `hidden`.
        seed: of the weights, the noise and the order.

    Returns:
        The `-ELBO` (nats) after each epoch and the CPU-seconds of training up to then, by
        `(stages, hidden)`.
    """
    latent_dim, batch_size, options = MODELS[data]
    x = datasets.load(data, "train", limit=limit).x
    held_out = datasets.load(data, "validation", limit=limit).x
    print(
        "| stages | hidden | weights | -ELBO after each epoch | CPU-seconds |\n" + "|---" * 5 + "|"
    )
    found = {}
    for kind in stages:
        for hidden in widths:
            keras.utils.set_random_seed(seed)
            model = models.vae(
                *(x.shape[1:], latent_dim, "conv"),
                **{"stages": kind, "hidden": hidden, "seed": seed, **options},
            )
            model.compile(keras.optimizers.Adam())
            bounds, used = [], 0.0
            for _ in range(epochs):
                started = time.process_time()
                model.fit(x, batch_size=batch_size, verbose=0)
                used += time.process_time() - started
                logs = model.evaluate(held_out, batch_size=250, verbose=0, return_dict=True)
                bounds.append((float(logs["loss"]), used))
            found[kind, hidden] = bounds
            losses = ", ".join(f"{loss:.2f}" for loss, _ in bounds)
            weights = model.count_params()
            print(f"| {kind} | {hidden} | {weights:,} | {losses} | {used:.0f} |", flush=True)
    return found
