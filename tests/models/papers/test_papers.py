"""What every named model has in common, one by one, tiny.

The backends take turns: that they agree on loss, gradient, codes, pictures and bound of each
model says test_backends.py.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import models, testing, zoo
from keras_vae.export.signatures import signatures
from tests.support import array
from tests.support.registry import (
    ELSEWHERE,
    NO_BOUND,
    NO_PRIOR,
    TINY,
    data,
    evidence,
    function,
    make,
)


def test_every_named_model_is_in_the_table():
    functions = {n for n in models.__all__ if n.islower()} - {"mark_missing", "pad_series"}
    assert functions == set(map(function, TINY)) | ELSEWHERE


@pytest.fixture(scope="module", params=sorted(TINY))
def trained(request):
    """A trained model, some of its data, and what `fit` logged: the last batch was of one."""
    keras.utils.set_random_seed(0)
    model = make(request.param)
    model.compile(keras.optimizers.Adam(1e-2))
    x, y = data(request.param, 65)
    held_out = x[:3] if y is None else (x[:3], y[:3])
    # What is left to reconstruct falls by a tenth and more of what there was to learn.
    testing.check_learns(
        model, x, y, epochs=60, falls_to=0.9, batch_size=32, validation_data=held_out,
        validation_freq=60, sample_weight=np.linspace(0.5, 1.5, len(x)),
    )  # fmt: skip
    return request.param, model, x[:15], None if y is None else y[:15]


@pytest.mark.turns
@pytest.mark.slow
def test_training_changes_the_encoder(trained):
    name, model, x, y = trained
    # Without hidden layers the posterior's weights are the encoder's.
    part = "encoder" if model.encoder.weights else "posterior_layer"
    before, after = (getattr(m, part).get_weights() for m in (make(name), model))
    assert any(np.abs(a - b).max() > 1e-6 for a, b in zip(before, after))


@pytest.mark.turns
@pytest.mark.slow
def test_it_keeps_what_every_model_promises(trained):
    """All checks that users have too, but that of learning: the fixture has learnt."""
    name, model, x, y = trained
    testing.check_model(model, x, y, checks=[c for c in testing.CHECKS if c != "learning"])


@pytest.mark.turns
@pytest.mark.slow
def test_samples_need_a_prior(trained):
    name, model, _, _ = trained
    assert model.can_sample == (name not in NO_PRIOR)
    if name in NO_PRIOR:
        with pytest.raises(ValueError, match=r"model\.fit_sampler\(x\).*Received"):
            model.sample(4, seed=1)


@pytest.mark.turns
@pytest.mark.slow
def test_codes_are_those_of_the_distribution_that_is_sampled(trained):
    """With next to no noise in its normals a sample is where `encode` says it is."""
    name, model, x, y = trained
    if name in ("categorical_vae", "joint_vae"):
        pytest.skip("categorical codes are the most probable ones, not a mean")
    parameters = list(model.infer(ops.convert_to_tensor(x), _tensor(y)))
    zero = ops.zeros((1, len(x), model.latent_dim))
    q = model.posterior_layer.distribution(*parameters)
    moved = array(q.transform(zero))[0]
    np.testing.assert_allclose(moved, model.encode(x, condition=y), atol=1e-5)


def _tensor(y):
    return None if y is None else ops.convert_to_tensor(y)


@pytest.mark.turns
@pytest.mark.slow
def test_the_bound_or_why_there_is_none(trained):
    name, model, x, y = trained
    # Black and white: what draws its pixels draws these, whatever the seed.
    x, y = np.round(x[:3]), None if y is None else y[:3]
    assert model.has_bound == (name not in NO_BOUND)
    if name in NO_BOUND:
        with pytest.raises(ValueError, match=f"{NO_BOUND[name]}.*Received"):
            model.log_likelihood(x, 5, condition=y)
        return
    bound = model.log_likelihood(x, 400, condition=y, verbose=False)
    fewer = np.mean(
        [model.log_likelihood(x, 1, condition=y, seed=s, verbose=False) for s in range(20)], axis=0
    )
    assert bound.shape == (3,) and np.isfinite(bound).all()
    # Single samples give the ELBO, which is below.
    assert (fewer < bound + 0.5).all()


@pytest.mark.turns
@pytest.mark.slow
def test_a_preset(trained, tmp_path):
    name, model, x, y = trained
    expected = model.reconstruct(x, condition=y)
    zoo.save(model, tmp_path / "preset", golden=(x[:2],) if y is None else (x[:2], y[:2]))
    loaded = zoo.load(tmp_path / "preset")
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.reconstruct(x, condition=y), expected)
    # The objective and its schedules came back: the loss of equal noise is the same.
    noise = np.random.default_rng(0).standard_normal((4, len(x), model.noise_dim), "float32")
    losses = [
        array(m.objective(evidence(m, x, y, noise, training=True))[0]) for m in (model, loaded)
    ]
    np.testing.assert_array_equal(*losses)


@pytest.mark.turns
@pytest.mark.slow
def test_what_is_exported_is_the_model(trained):
    """No signature skips a flow or takes a mean for a code."""
    name, model, x, y = trained
    given = {"image": x[:3], "condition": None if y is None else y[:3].astype("int32")}
    rng = np.random.default_rng(0)
    for signature in signatures(model).values():
        arrays = {
            k: given.get(k, rng.standard_normal((3, *tensor.shape), "float32"))
            for k, tensor in signature.inputs.items()
        }
        found = signature.call(**{k: ops.convert_to_tensor(v) for k, v in arrays.items()})
        expected = signature.reference(**arrays)
        assert set(found) == set(expected) == set(signature.outputs)
        for key, tensor in found.items():
            assert tuple(tensor.shape) == (3, *signature.outputs[key].shape)
            np.testing.assert_allclose(array(tensor), expected[key], atol=1e-5)


@pytest.mark.turns
@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", sorted(TINY))
def test_convolutions_and_mixed_precision(name, policy):
    """Losses are those of full precision to a few per cent, and stay finite in training."""
    # Whole batches: a partial one is compiled anew, and `test_numerics` has them.
    x, y = data(name, 16)
    noise = np.random.default_rng(0).standard_normal((4, len(x), 20), "float32")

    def first_loss(model):
        found = evidence(model, x, y, noise[:, :, : model.noise_dim], training=False)
        assert keras.backend.standardize_dtype(found.log_px.dtype) == "float32"
        assert keras.backend.standardize_dtype(found.z.dtype) == "float32"
        return array(model.objective(found)[0])

    expected = first_loss(make(name, "conv"))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = make(name, "conv")
        np.testing.assert_allclose(first_loss(model), expected, rtol=0.03, atol=0.5)
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0).history
    finally:
        keras.config.set_dtype_policy(before)
    assert np.isfinite(history["loss"]).all()


OF_MAPS = ("vae", "beta_vae", "annealed_vae", "cvae", "autoencoder", "iwae", "logcosh_vae")
NOT_OF_MAPS = {
    "maps=True.*Received: maps=True, model_class=FactorVAE": "factor_vae",
    "Received: maps=True, model_class=VAEGAN": "vae_gan",
    "compares codes that are vectors": "info_vae",
    "The prior must be one of maps": "vamp_vae",
    "The posterior must give maps": "flow_vae",
}


@pytest.mark.turns
class TestMaps:
    @pytest.mark.parametrize("name", OF_MAPS)
    def test_codes_keep_places(self, name, rng):
        given = {"num_classes": 3} if name == "cvae" else {}
        model = getattr(models, name)(
            (16, 12, 3), 2, network="conv", units=(4, 4), maps=True, likelihood="normal", **given
        )
        assert isinstance(model, models.SpatialVAE)
        x, y = rng.random((5, 16, 12, 3), dtype="float32"), np.arange(5) % 3
        condition = y if given else None
        assert np.isfinite(model.fit(x, condition, verbose=0).history["loss"]).all()
        z = model.encode(x, condition)
        assert z.shape == (5, 4, 3, 2)
        np.testing.assert_allclose(
            model.decode(z, condition), model.reconstruct(x, condition), atol=1e-5
        )

    @pytest.mark.parametrize("message", NOT_OF_MAPS)
    def test_models_of_vectors_refuse_them(self, message):
        with pytest.raises(ValueError, match=message):
            getattr(models, NOT_OF_MAPS[message])((16, 16, 3), 2, network="conv", maps=True)

    def test_what_it_refuses(self):
        with pytest.raises(ValueError, match="no activation.*code_activation='tanh'"):
            models.autoencoder((8, 8, 3), 2, network="conv", maps=True, code_activation="tanh")
        with pytest.raises(ValueError, match="need network='conv'.*network='dense'"):
            models.vae((8, 8, 3), 2, maps=True)
        with pytest.raises(ValueError, match="FlowMatching.*prior='learned', maps=True"):
            models.cvae((8, 8, 3), 2, network="conv", maps=True, num_classes=2, prior="learned")
