"""Shared by tests: RECIPE."""

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
