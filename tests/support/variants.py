"""Models beside those of registry.py, for options whose computation is another one."""

from keras_vae import objectives, priors

# As in `registry.ROWS`.
VARIANTS = {
    "autoencoder:tanh": {"code_activation": "tanh"},
    "beta_tc_vae:stratified": {"sampling": "stratified", "dataset_size": 40},
    "dip_vae:i": {"kind": "i"},
    "flow_vae:radial": {"kind": "radial", "flows": 2},
    "iaf_vae:free_bits": {"steps": 1, "hidden_units": 8, "context_dim": 3, "free_bits": 0.5},
    "info_vae:imq": {"kernel": "imq", "lambda_": 10.0},
    "iwae:backward": {"samples": 4, "backward": 2, "likelihood": "bernoulli"},
    "iwae:standard": {"samples": 4, "likelihood": "bernoulli"},
    "joint_vae:relaxed": {"classes": 3, "temperature": 0.5},
    "swae:stochastic": {"stochastic": True},
    "vae:capacity": {"objective": lambda: objectives.Capacity(3.0, 1.0)},
    "vae:gaussian_mixture": {"prior": lambda: mixture()},
    "vae:learned": {"likelihood": "normal"},
    "vae:linear_normal": {"prior": lambda: linear()},
    "wae_mmd:stochastic": {"stochastic": True, "kernel": "rbf"},
}


def mixture():
    """Two normals with full covariances."""
    factors = [[[1.0, 0.0], [0.4, 0.7]], [[0.6, 0.0], [-0.3, 1.2]]]
    return priors.GaussianMixture.from_arrays([0.3, 0.7], [[1.0, -0.5], [-0.4, 0.2]], factors)


def linear():
    """One normal with a full covariance."""
    prior = priors.LinearNormal(2)
    prior.bias.assign([0.3, -0.2])
    prior.factor.assign([[0.9, 0.0], [0.3, 0.6]])
    return prior
