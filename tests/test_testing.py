"""`keras_vae.testing.check_model`: good models pass, and each planted fault is named."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import models, objectives, testing
from keras_vae.models.papers import register
from keras_vae.models.papers.plain import vae
from tests.support import SHAPE, registry

pytestmark = pytest.mark.turns


def tiny(model_class=models.VAE, **options):
    return models.vae(SHAPE, 2, units=(8,), seed=0, model_class=model_class, **options)


class OtherDtype(models.VAE):
    def encode(self, *args, **kwargs):
        return super().encode(*args, **kwargs).astype("float64")


class Noisy(models.VAE):
    def reconstruct(self, *args, **kwargs):
        found = super().reconstruct(*args, **kwargs)
        return found + np.random.default_rng().normal(scale=1e-3, size=found.shape).astype(
            "float32"
        )


class WithoutSeed(models.VAE):
    def sample(self, n, condition=None, seed=None, batch_size=256):
        return super().sample(n, condition, None, batch_size)


class OneSample(models.VAE):
    def sample(self, n, condition=None, seed=None, batch_size=256):
        return super().sample(n, condition, 0, batch_size)


class Forgetful(models.VAE):
    """Its configuration leaves out what it was made with."""

    def __init__(self, *args, scale=1.0, **parts):
        super().__init__(*args, **parts)
        self.scale = scale

    def call(self, inputs, training=False):
        return self.scale * super().call(inputs, training)


class Summed(models.VAE):
    def log_likelihood(self, *args, **kwargs):
        return super().log_likelihood(*args, **kwargs)[:, None]


class WrongEnd(models.VAE):
    def interpolate(self, x_a, x_b, *args, **kwargs):
        return super().interpolate(x_b, x_a, *args, **kwargs)


class OtherCodes(models.VAE):
    def posterior(self, x, *args, **kwargs):
        return super().posterior(1.0 - x, *args, **kwargs)


class Unnamed(models.VAE):
    """A term that the objective promises is not logged."""

    def get_metrics_result(self):
        return {k: v for k, v in super().get_metrics_result().items() if k != "kl_loss"}


class NotANumber(models.VAE):
    def evidence(self, *args, **kwargs):
        found = super().evidence(*args, **kwargs)
        return found._replace(log_px=found.log_px * float("nan"))


class Stuck(models.VAE):
    """No gradient reaches the encoder."""

    def infer(self, x, condition=None, training=False):
        return tuple(map(ops.stop_gradient, super().infer(x, condition, training)))


class Restless(models.VAE):
    """Noise that no seed controls."""

    def evidence(self, x, condition=None, training=False, noise=None):
        if training:
            shape = (1, 1, self.latent_dim)
            noise = np.random.default_rng().standard_normal(shape, "float32")
        return super().evidence(x, condition, training, noise)


class Pairs(models.VAE):
    def encode(self, x, *args, **kwargs):
        if len(x) == 1:
            raise ValueError("Give at least two examples.")
        return super().encode(x, *args, **kwargs)


class Credulous(models.VAE):
    """Takes data as they come."""

    def _checked(self, x, condition, name="x"):
        return np.nan_to_num(np.asarray(x, "float32"), posinf=1.0).clip(0, 1), condition


class Dull(models.VAE):
    """Trains nothing."""

    def update(self, x, y=None, sample_weight=None):
        return self.assess(x, y, sample_weight)


class Lossy(models.VAE):
    """Training changes what no file holds."""

    scale = np.float32(1.0)

    def fit(self, *args, **kwargs):
        self.scale = np.float32(0.5)
        return super().fit(*args, **kwargs)

    def reconstruct(self, *args, **kwargs):
        return self.scale * super().reconstruct(*args, **kwargs)


FAULTS = {
    OtherDtype: ("codes", "dtype float32.*Received: .*dtype float64"),
    Noisy: ("reconstructions", "called twice the same"),
    WithoutSeed: ("samples", "with one seed, twice the same"),
    OneSample: ("samples", "different with another seed.*Received: no difference"),
    Summed: ("bound", r"of shape \(4,\).*Received: shape \(4, 1\)"),
    WrongEnd: ("paths", "first of `interpolate"),
    OtherCodes: ("posterior", "`posterior\\(x\\).center` and `encode\\(x\\)` the same"),
    Unnamed: ("losses", "names that `evaluate` gives .*kl_loss"),
    NotANumber: ("losses", "finite. Received: .* NaN"),
    Stuck: ("gradients", "some weight of `encoder`.*Received: 0 for all"),
    Restless: ("repetition", "losses of the same training, repeated"),
    Pairs: ("batch of one", "Expected: no error. Received: ValueError: Give at least two"),
    Credulous: (
        "bad input",
        "no examples, given to `encode`, refused by a ValueError. Received: IndexError",
    ),
    Dull: ("learning", "`reconstruction_loss` below"),
    Lossy: ("files", "reconstructions after `save` the same"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_named(fault):
    check, match = FAULTS[fault]
    with pytest.raises(AssertionError, match=f"(?s)check '{check}' of {fault.__name__} .*{match}"):
        testing.check_model(tiny(fault), checks=check)
    # It is the fault that fails: the same check passes without it.
    assert testing.check_model(tiny(), checks=check) == (check,)


def test_a_configuration_that_forgets():
    model = models.VAE(*_parts(), objective=objectives.ELBO())
    assert testing.check_model(model, checks="configuration")
    forgetful = Forgetful(*_parts(), objective=objectives.ELBO(), scale=0.5)
    with pytest.raises(AssertionError, match="(?s)'configuration' of Forgetful .*the same within"):
        testing.check_model(forgetful, checks="configuration")


def _parts():
    plain = tiny()
    return plain.encoder, plain.decoder, plain.posterior_layer


def test_every_check_has_a_fault():
    assert {check for check, _ in FAULTS.values()} | {"configuration"} == set(testing.CHECKS)


def test_the_model_is_left_as_it_is():
    model = tiny()
    before, compiled = model.get_weights(), model.compiled
    assert testing.check_model(model) == testing.CHECKS
    assert model.compiled == compiled
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_attributes_and_integer_codes():
    conditional = models.cvae(SHAPE, 2, units=(8,), condition_dim=2, seed=0)
    testing.check_model(conditional)
    quantized = models.vq_vae(
        SHAPE, 2, units=(4,), num_codes=6, prior_channels=3, prior_depth=1, num_classes=3, seed=0
    )
    testing.check_model(quantized)


def test_arguments():
    with pytest.raises(TypeError, match="must be a `models.VAE`. Received: Sequential"):
        testing.check_model(keras.Sequential())
    with pytest.raises(ValueError, match=r"some of configuration, .*Received: \['speed'\]"):
        testing.check_model(tiny(), checks=["speed"])
    with pytest.raises(ValueError, match="at least 4 examples. Received: 3"):
        testing.check_model(tiny(), testing.example_data(tiny(), 3)[0])


@pytest.mark.parametrize("works", [True, False])
def test_a_new_paper_is_tested_without_a_row_of_its_own(works):
    """The register is the plan of the tests: this paper exists here only."""
    before = dict(register.PAPERS)

    @register.paper()
    def planted_vae(
        input_shape=SHAPE, latent_dim=30, *, width: int = 64, rate: float = 2.5, **options
    ) -> models.VAE:
        """Planted VAE: -log p(x|z) + β · KL of a code of normals.

        Nobody & Noone, "A Paper of This Test", 2026.
        """
        assert (width, rate) == (4, 2.5)
        model_class = models.VAE if works else Stuck
        return vae(input_shape, latent_dim, beta=rate, model_class=model_class, **options)

    try:
        assert "planted_vae" in registry.table() and "planted_vae" not in registry.ROWS
        model = registry.make("planted_vae")
        assert model.latent_dim == 2 and model.name == "planted_vae"
        record = next(p for p in models.papers.catalogue() if p.name == "planted_vae")
        assert (record.authors, record.title, record.year) == (
            "Nobody & Noone",
            "A Paper of This Test",
            2026,
        )
        if works:
            testing.check_model(model, *registry.data("planted_vae"))
        else:
            with pytest.raises(AssertionError, match="'gradients' of Stuck"):
                testing.check_model(model, *registry.data("planted_vae"))
        with pytest.raises(ValueError, match="name of its own. Received: 'planted_vae' twice"):
            register.paper()(planted_vae)
    finally:
        register.PAPERS.clear()
        register.PAPERS.update(before)
