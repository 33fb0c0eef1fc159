"""Shared by tests: RECIPE, and presets that are described as trained ones are."""

import json

from keras_vae import zoo

RECIPE = {
    "description": "A small VAE.",
    "model": {
        "function": "vae",
        "arguments": {
            "input_shape": [28, 28, 1],
            "latent_dim": 2,
            "units": [16],
            "likelihood": "dynamic_bernoulli",
            "seed": 0,
        },
    },
    "data": "mnist",
    "data_terms": "MNIST",
    "paper": "A paper",
    "licence": "MIT",
    "training": {
        "backend": "any",
        "epochs": 3,
        "batch_size": 50,
        "learning_rate": 0.002,
        "warmup_epochs": 1,
        "weight_average": 0.9,
        "verbose": 0,
    },
    "evaluation": {"samples": 5},
}


def described(model, folder, data, evaluation):
    """Saves a model as a preset with a recipe and no figures; returns its folder.

    Args:
        model: that no command trains anew.
        folder: to write.
        data: name of its data set.
        evaluation: that part of its recipe.
    """
    folder = zoo.save(model, folder, {"data": data, "paper": "-", "licence": "MIT"})
    trained = {"epochs": 0, "best_epoch": 0, "validation_loss": 0.0, "hardware": "-"}
    found = dict(zoo.info(folder)) | {
        "training": trained | {"backend": "torch"},
        "made_with": {"numpy": "2"},
        "metrics": [],
    }
    (folder / "metadata.json").write_text(json.dumps(found))
    made = RECIPE | {"data": data, "evaluation": evaluation}
    (folder / "recipe.json").write_text(json.dumps(made))
    return folder
