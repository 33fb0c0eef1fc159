"""Gradients of the importance-weighted bound: unbiased for every posterior and decoder."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, models, objectives, posteriors
from keras_vae._registry import register
from tests.support import array
from tests.support.autodiff import gradient

DIM, SAMPLES = 4, 3


@register
class Stretched(posteriors.DiagonalNormal):
    """A posterior of a user's own, with a weight that its distribution reads."""

    def build(self, input_shape):
        self.stretch = self.add_weight((self.latent_dim,), "ones", name="stretch")
        super().build(input_shape)

    def distribution(self, mean, log_var):
        return super().distribution(mean * self.stretch, log_var + self.stretch)


POSTERIORS = {
    "DiagonalNormal": lambda: posteriors.DiagonalNormal(3, seed=1),
    "FullCovariance": lambda: posteriors.FullCovariance(3, seed=1),
    "InverseAutoregressive": lambda: posteriors.InverseAutoregressive(3, 2, 5, 2, seed=1),
    "ChainedPosterior": lambda: posteriors.ChainedPosterior(3, 1, (4,), seed=1),
    "ProductPosterior": lambda: posteriors.ProductPosterior(
        [posteriors.InverseAutoregressive(2, 1, 5, 2, seed=1), posteriors.DiagonalNormal(1, seed=2)]
    ),
    "SpatialNormal": lambda: posteriors.SpatialNormal(3, seed=1),
    "VonMisesFisher": lambda: posteriors.VonMisesFisher(3, seed=1),
    "Stretched": lambda: Stretched(3, seed=1),
}
# What training draws with has no density of its own: refused, or known at its samples only.
WITHOUT = {
    *("Categorical", "FlowPosterior", "Point", "SparsePoint", "SpatialPoint"),
    *("Posterior", "Extended"),
}

DECODERS = {
    "plain": lambda z: z,
    "dropout": lambda z: keras.layers.Dropout(0.4, seed=5)(z),
    "batch_normalization": lambda z: keras.layers.BatchNormalization(momentum=0.5)(z),
}


def model_of(posterior, objective, decoder="plain", likelihood="bernoulli"):
    keras.utils.set_random_seed(3)
    x = keras.Input((DIM,))
    features = keras.layers.Dense(5, activation="tanh")(x)
    kind, codes = models.VAE, (3,)
    if isinstance(posterior, posteriors.SpatialNormal):
        kind, codes = models.SpatialVAE, (1, 1, 3)
        features = keras.layers.Reshape((1, 1, 5))(features)
    encoder = keras.Model(x, features)
    z = keras.Input(codes)
    flat = keras.layers.Flatten()(z) if len(codes) > 1 else z
    hidden = DECODERS[decoder](keras.layers.Dense(6, activation="tanh")(flat))
    model = kind(
        encoder,
        keras.Model(z, keras.layers.Dense(DIM)(hidden)),
        posterior,
        likelihood=likelihood,
        objective=objective,
        seed=0,
    )
    rng = np.random.default_rng(4)
    for v in model.trainable_variables:
        v.assign(v + 0.5 * rng.standard_normal(v.shape))
    return model


def gradient_of(model, objective, x):
    """A function from noise and a seed to ∂ loss / ∂ trainable variables, one vector."""
    variables = model.trainable_variables
    sizes = [int(np.prod(v.shape)) for v in variables]
    chosen = {id(v) for v in variables}
    others = [v for v in model.variables if id(v) not in chosen]
    # The states of the generators.
    seeds = {id(v) for v in others if tuple(v.shape) == (2,) and "int" in v.dtype}

    def loss(flat, noise, seed):
        pieces = ops.split(flat, np.cumsum(sizes)[:-1].tolist())
        mine = [(v, ops.reshape(p, v.shape)) for v, p in zip(variables, pieces)]
        seeded = [(v, seed if id(v) in seeds else v.value) for v in others]
        model.objective = objective
        with keras.StatelessScope(mine + seeded, collect_losses=True):
            losses, _ = objective(model.evidence(x, training=True, noise=noise))
            return ops.mean(losses)

    start = np.concatenate([array(v).ravel() for v in variables]).astype("float32")
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(jax.grad(loss))
        return lambda noise, seed: array(compiled(start, noise, seed))
    return lambda noise, seed: gradient(lambda flat: loss(flat, noise, seed), start).astype(
        "float64"
    )


def compared(model, first, second, n=400, repeats=16):
    """Means of the first gradient and of its difference to the second, with its error."""
    rng = np.random.default_rng(7)
    x = (rng.random((5, DIM)) < 0.5).astype("float32")
    x = ops.convert_to_tensor(np.tile(x, (n // 5, 1)))
    functions = [gradient_of(model, objective, x) for objective in (first, second)]
    found = []
    for repeat in range(repeats):
        noise = rng.standard_normal((SAMPLES, n, *model.code_shape), dtype="float32")
        seed = ops.convert_to_tensor(np.array([repeat, 1]), "int32")
        found.append([function(noise, seed) for function in functions])
    first, second = np.array(found).transpose(1, 0, 2)
    apart = second - first
    return first.mean(0), apart.mean(0), apart.std(0, ddof=1) / repeats**0.5


def assert_unbiased(mean, apart, error):
    # Five errors, and what float32 leaves.
    assert (np.abs(apart) < 5.0 * error + 2e-5 * np.abs(mean).max()).all()
    # The error is small enough to see a bias.
    assert np.linalg.norm(error) < 0.1 * np.linalg.norm(mean)


def test_the_table_has_every_posterior():
    named = {n for n in posteriors.__all__ if isinstance(getattr(posteriors, n), type)}
    assert named - WITHOUT == set(POSTERIORS) - {"Stretched"}


@pytest.mark.turns
@pytest.mark.parametrize("name", POSTERIORS)
def test_dreg_is_unbiased_for_every_posterior(name):
    plain, dreg = objectives.IWAE(SAMPLES), objectives.IWAE(SAMPLES, "dreg")
    model = model_of(POSTERIORS[name](), plain)
    assert_unbiased(*compared(model, plain, dreg))


def test_dreg_is_unbiased_with_dropout():
    plain, dreg = objectives.IWAE(SAMPLES), objectives.IWAE(SAMPLES, "dreg")
    model = model_of(POSTERIORS["DiagonalNormal"](), plain, "dropout")
    mean, apart, error = compared(model, plain, dreg)
    assert_unbiased(mean, apart, error)
    # It is another estimator.
    assert np.abs(apart).max() > 1e-3


def test_dreg_is_the_standard_gradient_with_batch_normalization():
    plain, dreg = objectives.IWAE(SAMPLES), objectives.IWAE(SAMPLES, "dreg")
    model = model_of(POSTERIORS["DiagonalNormal"](), plain, "batch_normalization")
    mean, apart, _ = compared(model, plain, dreg, n=10, repeats=2)
    assert np.abs(apart).max() < 1e-6 * np.abs(mean).max()
    # Frozen, it is a fixed map of each sample.
    model.decoder.trainable = False
    _, apart, _ = compared(model, plain, dreg, n=10, repeats=2)
    assert np.abs(apart).max() > 1e-3


def test_dreg_is_unbiased_with_a_variance_fitted_to_the_batch():
    plain, dreg = objectives.IWAE(SAMPLES), objectives.IWAE(SAMPLES, "dreg")
    model = model_of(POSTERIORS["DiagonalNormal"](), plain, likelihood="optimal_normal")
    assert_unbiased(*compared(model, plain, dreg))


def test_backward_is_unbiased():
    plain, backward = objectives.IWAE(SAMPLES), objectives.IWAE(SAMPLES, backward=2)
    model = model_of(POSTERIORS["DiagonalNormal"](), plain)
    assert_unbiased(*compared(model, plain, backward, repeats=24))


@pytest.mark.parametrize(
    "decoder, likelihood",
    [
        ("dropout", "bernoulli"),
        ("batch_normalization", "bernoulli"),
        ("plain", "optimal_normal"),
    ],
)
def test_backward_is_exact_where_samples_depend_on_each_other(decoder, likelihood):
    plain, backward = objectives.IWAE(SAMPLES), objectives.IWAE(SAMPLES, backward=1)
    model = model_of(POSTERIORS["DiagonalNormal"](), plain, decoder, likelihood)
    mean, apart, _ = compared(model, plain, backward, n=10, repeats=2)
    assert np.abs(apart).max() < 1e-6 * np.abs(mean).max()


class Probing(objectives.IWAE):
    """Notes what the pass that weighs the samples finds."""

    def draw(self, evidence, probe):
        self.first = probe().log_px(evidence.z)
        return evidence


@pytest.mark.turns
@pytest.mark.parametrize(
    "decoder, likelihood",
    [
        ("dropout", "bernoulli"),
        ("batch_normalization", "bernoulli"),
        ("plain", likelihoods.Normal("optimal", data_range=None)),
    ],
)
def test_both_passes_of_the_decoder_are_the_same_and_count_once(decoder, likelihood):
    objective = Probing(SAMPLES)
    model = model_of(POSTERIORS["DiagonalNormal"](), objective, decoder, likelihood)
    x = np.random.default_rng(0).random((6, DIM), "float32")
    noise = np.random.default_rng(1).standard_normal((SAMPLES, 6, 3), "float32")
    evidence = model.evidence(ops.convert_to_tensor(x), training=True, noise=noise)
    np.testing.assert_array_equal(array(objective.first), array(evidence.log_px))
    if likelihood != "bernoulli":
        assert array(model.likelihood.updates) == 1.0
    else:
        inference = model.evidence(ops.convert_to_tensor(x), noise=noise)
        assert np.abs(array(inference.log_px) - array(evidence.log_px)).max() > 1e-3
    if decoder == "batch_normalization":
        dense, normal = model.decoder.layers[1], model.decoder.layers[2]
        hidden = array(dense(ops.reshape(evidence.z, (-1, 3))))
        np.testing.assert_allclose(array(normal.moving_mean), 0.5 * hidden.mean(0), atol=1e-5)


@pytest.mark.parametrize("objective", [objectives.IWAE(3), objectives.TotalCorrelation()])
@pytest.mark.once
def test_relaxed_codes_have_no_density(objective):
    categorical = posteriors.Categorical(1, 3)
    product = posteriors.ProductPosterior([posteriors.Categorical(1, 2), posteriors.Point(1)])
    for posterior in (categorical, product):
        with pytest.raises(ValueError, match="relaxed.*no bound.*ELBO.*Received: objective="):
            model_of(posterior, objective)


def test_a_density_at_its_own_samples_only_has_no_dreg():
    model = model_of(posteriors.FlowPosterior(3, flows=1, seed=0), objectives.IWAE(3, "dreg"))
    with pytest.raises(NotImplementedError, match="no inverse"):
        model.evidence(ops.zeros((2, DIM)), training=True)


@pytest.mark.parametrize("gradient, backward", [("dreg", None), ("standard", 2)])
def test_fit_draws_the_masks_of_a_step_once(gradient, backward):
    objective = objectives.IWAE(SAMPLES, gradient, backward)
    model = model_of(POSTERIORS["InverseAutoregressive"](), objective, "dropout")
    x = np.random.default_rng(0).random((12, DIM), "float32")
    model.compile(keras.optimizers.Adam(1e-2))
    masks = model.decoder.layers[2].seed_generator.state
    before = array(masks)
    losses = model.fit(x, batch_size=4, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert (array(masks) - before).tolist() == [0.0, 6.0]
