"""Posteriors, priors, likelihoods, conditions, layers and networks."""

import autodiff
import keras
import numpy as np
import pytest
import reference
from conftest import array, make_images
from keras import ops

from keras_vae import (
    conditions,
    initializers,
    layers,
    likelihoods,
    models,
    networks,
    posteriors,
    priors,
)


def tensor(value):
    return ops.convert_to_tensor(value, "float32")


class TestPosterior:
    def test_parameters_are_the_projection(self, rng):
        layer = posteriors.DiagonalNormal(3)
        features = rng.normal(size=(5, 7)).astype("float32")
        mean, log_var = layer(tensor(features))
        kernel, bias = (array(w) for w in layer.get_weights())
        both = features @ kernel + bias
        np.testing.assert_allclose(array(mean), both[:, :3], atol=1e-5)
        np.testing.assert_allclose(array(log_var), 10 * np.tanh(both[:, 3:] / 10), atol=1e-5)

    def test_log_variances_are_bounded_and_keep_a_gradient_near_the_identity(self):
        raw = np.array([-1e6, -1.0, 0.0, 1.0, 1e6], "float32")
        bounded = array(layers.bounded(tensor(raw), 10.0))
        assert np.abs(bounded).max() <= 10.0
        np.testing.assert_allclose(bounded[1:4], [-1.0, 0.0, 1.0], atol=0.004)

    def test_is_float32_under_mixed_precision(self):
        layer = posteriors.DiagonalNormal(2)
        mean, log_var = layer(ops.ones((1, 4), "float16"))
        assert keras.backend.standardize_dtype(mean.dtype) == "float32"
        assert keras.backend.standardize_dtype(log_var.dtype) == "float32"


class TestPrior:
    def test_standard_normal_density_and_samples(self, rng):
        prior = priors.StandardNormal(3)
        z = rng.normal(size=(4, 3))
        expected = reference.normal_log_prob(z, 0.0, 0.0).sum(-1)
        np.testing.assert_allclose(array(prior.distribution().log_prob(z)), expected, rtol=1e-5)
        drawn = prior.sample(50_000, np.random.default_rng(1))
        np.testing.assert_allclose(np.cov(drawn.T), np.eye(3), atol=0.03)
        np.testing.assert_allclose(drawn.mean(0), 0.0, atol=0.03)

    def test_samples_are_those_of_numpy_on_every_backend(self):
        drawn = priors.StandardNormal(2).sample(3, np.random.default_rng(7))
        expected = np.random.default_rng(7).standard_normal((3, 2), "float32")
        np.testing.assert_array_equal(drawn, expected)


class TestLikelihoods:
    def setup_method(self):
        rng = np.random.default_rng(0)
        self.x = make_images(rng, 4)
        self.outputs = rng.normal(size=(3, 4, 8, 8, 1)).astype("float32")

    def score(self, likelihood, **kwargs):
        return array(likelihood.log_prob(tensor(self.x), tensor(self.outputs), **kwargs))

    def test_bernoulli_sums_over_pixels(self):
        expected = reference.bernoulli_log_prob(self.x, self.outputs).sum((-3, -2, -1))
        np.testing.assert_allclose(self.score(likelihoods.Bernoulli()), expected, rtol=1e-5)

    def test_a_log_likelihood_of_binary_data_is_negative_and_falls_with_error(self):
        sure = tensor(np.full((1, 1, 2, 2, 1), 5.0, "float32"))
        right, wrong = (tensor(np.full((1, 2, 2, 1), v, "float32")) for v in (1.0, 0.0))
        log_prob = likelihoods.Bernoulli().log_prob
        good, bad = (array(log_prob(x, sure)).item() for x in (right, wrong))
        assert good == pytest.approx(-4 * np.log1p(np.exp(-5)), rel=1e-4)
        assert bad == pytest.approx(-4 * np.log1p(np.exp(5)), rel=1e-4)

    @pytest.mark.parametrize("variance", [0.25, 2])
    def test_normal_with_fixed_variance(self, variance):
        each = reference.normal_log_prob(self.x, self.outputs, np.log(variance))
        score = self.score(likelihoods.Normal(variance))
        np.testing.assert_allclose(score, each.sum((-3, -2, -1)), rtol=1e-5)

    def test_normal_with_learned_variance_starts_at_one_and_is_trainable(self):
        likelihood = likelihoods.Normal("learned")
        assert len(likelihood.trainable_variables) == 1
        each = reference.normal_log_prob(self.x, self.outputs, 0.0)
        np.testing.assert_allclose(self.score(likelihood), each.sum((-3, -2, -1)), rtol=1e-5)

    def test_optimal_variance_is_the_best_there_is(self):
        """The batch's mean squared error maximises its likelihood (σ-VAE)."""
        error = np.mean((self.x - self.outputs) ** 2)
        likelihood = likelihoods.Normal("optimal")
        best = self.score(likelihood, training=True)
        each = reference.normal_log_prob(self.x, self.outputs, np.log(error))
        np.testing.assert_allclose(best, each.sum((-3, -2, -1)), rtol=1e-5)
        for factor in (0.9, 1.1):
            assert self.score(likelihoods.Normal(float(error * factor))).mean() < best.mean()
        # Evaluation uses what training found, whatever the batch.
        assert array(likelihood.log_var()) == pytest.approx(np.log(error), rel=1e-5)
        np.testing.assert_allclose(self.score(likelihood), best, rtol=1e-5)

    def test_optimal_variance_is_averaged_and_bounded_below(self):
        likelihood = likelihoods.Normal("optimal")
        x = tensor(np.zeros((1, 2), "float32"))
        for value in (1.0, 3.0):
            outputs = tensor(np.full((1, 1, 2), value, "float32"))
            likelihood.log_prob(x, outputs, training=True)
        assert array(likelihood.average) == pytest.approx((1 + 9) / 2)
        exact = likelihoods.Normal("optimal")
        exact.log_prob(x, tensor(np.zeros((1, 1, 2), "float32")), training=True)
        assert array(exact.average) == pytest.approx((0.5 / 255) ** 2)

    def test_dynamic_binarisation_draws_the_pixels(self):
        likelihood = likelihoods.Bernoulli(dynamic=True)
        x = np.full((20_000, 2), [0.2, 0.7], "float32")
        seed = keras.random.SeedGenerator(0)
        first, second = (array(likelihood.observe(tensor(x), seed)) for _ in range(2))
        assert set(np.unique(first)) == {0.0, 1.0}
        np.testing.assert_allclose(first.mean(0), [0.2, 0.7], atol=0.02)
        assert (first != second).mean() == pytest.approx((0.32 + 0.42) / 2, abs=0.02)
        drawn = likelihood.observe_numpy(x, np.random.default_rng(0))
        np.testing.assert_allclose(drawn.mean(0), [0.2, 0.7], atol=0.02)
        binary = np.array([[0.0, 1.0]], "float32")
        np.testing.assert_array_equal(array(likelihood.observe(tensor(binary), seed)), binary)

    @pytest.mark.parametrize("variance", [0, -1.0, float("nan"), "best", True, None])
    def test_bad_variance_is_refused(self, variance):
        with pytest.raises(ValueError, match="`variance` must be"):
            likelihoods.Normal(variance)

    def test_unknown_name_is_refused(self):
        with pytest.raises(ValueError, match="'normal'.*Received: likelihood='gauss'"):
            likelihoods.get("gauss")


class TestConditions:
    def test_labels_become_one_hot(self):
        labels = conditions.Labels(3)
        encoded = array(labels.encode(labels.check([2, 0], 2)))
        np.testing.assert_array_equal(encoded, [[0, 0, 1], [1, 0, 0]])
        np.testing.assert_array_equal(labels.check(1, 3), [1, 1, 1])
        np.testing.assert_array_equal(labels.check([[2.0], [1.0]], 2), [2, 1])

    @pytest.mark.parametrize(
        "y, message",
        [
            ([0, 3], "from 0 to 2.*from 0 to 3"),
            ([-1, 0], "from -1 to 0"),
            ([0.5, 1.0], "integer labels"),
            ([0, 1, 2], r"2 integer labels.*\(3,\)"),
            (["a", "b"], "integer labels"),
        ],
    )
    def test_bad_labels_are_refused(self, y, message):
        with pytest.raises(ValueError, match=message):
            conditions.Labels(3).check(y, 2)

    @pytest.mark.parametrize(
        "y, message",
        [
            (np.zeros((2, 3)), r"\(2, 2\).*\(2, 3\)"),
            (np.full((2, 2), np.nan), "finite.*4 NaN"),
        ],
    )
    def test_bad_attributes_are_refused(self, y, message):
        with pytest.raises(ValueError, match=message):
            conditions.Attributes(2).check(y, 2)

    def test_names_are_found_and_near_ones_suggested(self):
        faces = conditions.Attributes(3, ("Smiling", "Male", "Eyeglasses"))
        assert faces.index("Male") == 1
        with pytest.raises(ValueError, match="Did you mean 'Smiling'"):
            faces.index("smilling")
        with pytest.raises(ValueError, match="have no names"):
            conditions.Attributes(3).index("Male")
        with pytest.raises(ValueError, match="Expected 3 condition names.*2"):
            conditions.Attributes(3, ("a", "b"))


class TestLayers:
    def test_space_to_depth_moves_blocks_and_depth_to_space_back(self, rng):
        x = rng.normal(size=(2, 4, 6, 3)).astype("float32")
        deep = array(layers.SpaceToDepth(2)(tensor(x)))
        assert deep.shape == (2, 2, 3, 12)
        block = x[1, 2:4, 4:6].reshape(-1)
        np.testing.assert_allclose(deep[1, 1, 2], block)
        np.testing.assert_allclose(array(layers.DepthToSpace(2)(tensor(deep))), x)

    @pytest.mark.parametrize(
        "size, strides, padding",
        [
            *((4, 2, "same"), (8, (4, 2), "same"), (3, 2, "same"), (3, 1, "same")),
            *((4, 2, "valid"), ((4, 3), (2, 1), "same")),
        ],
    )
    def test_transposed_convolution_is_that_of_keras(self, size, strides, padding, rng):
        """Values and gradients; with and without a bias, in half precision and after saving."""
        x = rng.normal(size=(2, 5, 4, 3)).astype("float32")
        for bias, dtype in ((True, "float32"), (False, "float32"), (True, "mixed_bfloat16")):
            options = {"use_bias": bias, "padding": padding, "activation": "tanh", "dtype": dtype}
            theirs = keras.layers.Conv2DTranspose(6, size, strides, **options)
            ours = layers.Conv2DTranspose(6, size, strides, **options)
            assert theirs(x).shape == ours(x).shape
            theirs.set_weights([rng.normal(size=w.shape) for w in theirs.get_weights()])
            ours = layers.Conv2DTranspose.from_config(ours.get_config())
            ours.build(x.shape)
            ours.set_weights(theirs.get_weights())
            bound = 1e-5 if dtype == "float32" else 0.05
            np.testing.assert_allclose(array(ours(x)), array(theirs(x)), atol=bound)
            for of, bound_of in ((0, 20 * bound), (1, 100 * bound)):
                values = [x, array(ours.kernel)]

                def squared(value, layer):
                    found = values[:of] + [value] + values[of + 1 :]  # noqa: B023
                    with keras.StatelessScope([(layer.kernel, found[1])]):
                        return ops.sum(ops.cast(layer(found[0]), "float32") ** 2)

                theirs_of, ours_of = (
                    autodiff.gradient(lambda v: squared(v, layer), values[of])  # noqa: B023
                    for layer in (theirs, ours)
                )
                np.testing.assert_allclose(ours_of, theirs_of, atol=bound_of)

    def test_space_to_depth_and_convolution_is_a_strided_convolution(self, rng):
        """A 2 × 2 kernel on blocks of 2 × 2 is a 4 × 4 kernel of stride 2."""
        x = tensor(rng.normal(size=(1, 8, 8, 3)))
        kernel = rng.normal(size=(4, 4, 3, 5)).astype("float32")
        folded = kernel.reshape(2, 2, 2, 2, 3, 5).transpose(0, 2, 1, 3, 4, 5)
        folded = tensor(folded.reshape(2, 2, 12, 5))
        deep = ops.conv(layers.SpaceToDepth(2)(x), folded, padding="valid")
        strided = ops.conv(x, tensor(kernel), strides=2, padding="valid")
        np.testing.assert_allclose(array(deep), array(strided), atol=1e-5)

    def test_sizes_that_do_not_divide_are_refused(self):
        with pytest.raises(ValueError, match="multiples of 2.*7"):
            layers.SpaceToDepth(2)(ops.zeros((1, 7, 8, 1)))
        with pytest.raises(ValueError, match="multiple of 4.*6"):
            layers.DepthToSpace(2).compute_output_shape((None, 2, 2, 6))

    def test_sampling_has_the_moments_and_new_noise_each_time(self):
        layer = layers.Sampling(seed=1)
        mean = ops.zeros((50_000, 2)) + tensor([1.0, -2.0])
        log_var = ops.zeros((50_000, 2)) + tensor([0.0, 2.0])
        first, second = (array(layer([mean, log_var])) for _ in range(2))
        np.testing.assert_allclose(first.mean(0), [1.0, -2.0], atol=0.06)
        np.testing.assert_allclose(first.std(0), [1.0, np.e], rtol=0.02)
        assert np.abs(first - second).max() > 0.1


class TestInitializers:
    def test_values_are_uniform_within_the_limit(self):
        values = array(initializers.GlorotUniform(1)((3, 3, 20, 30)))
        limit = np.sqrt(6 / (9 * 20 + 9 * 30))
        assert np.abs(values).max() <= limit
        assert values.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
        assert values.mean() == pytest.approx(0.0, abs=0.03 * limit)

    def test_the_same_seed_gives_the_same_weights_on_every_backend(self):
        expected = np.random.default_rng(5).uniform(-1, 1, (2, 4)) * np.sqrt(6 / 6)
        np.testing.assert_allclose(
            array(initializers.GlorotUniform(5)((2, 4))), expected, rtol=1e-6
        )
        model = models.vae((8, 8, 1), 2, "conv", units=(4,), seed=3)
        sums = [np.abs(w).sum() for w in model.get_weights() if w.ndim > 1]
        # Every layer draws its own: no two kernels of one shape are alike.
        assert len({round(float(s), 4) for s in sums}) == len(sums)

    def test_without_a_seed_keras_global_seed_decides(self):
        def draw():
            return array(initializers.GlorotUniform()((2, 2)))

        keras.utils.set_random_seed(1)
        first, second = draw(), draw()
        keras.utils.set_random_seed(1)
        np.testing.assert_array_equal(draw(), first)
        assert np.abs(first - second).min() > 0

    def test_a_seeded_model_leaves_the_global_seed_alone(self):
        keras.utils.set_random_seed(1)
        expected = np.random.rand()
        keras.utils.set_random_seed(1)
        models.vae((4,), 2, units=(), seed=0)
        assert np.random.rand() == expected


class TestNetworks:
    @pytest.mark.parametrize("network", networks.NETWORKS)
    @pytest.mark.parametrize("shape", [(8, 8, 1), (10, 7, 3)])
    @pytest.mark.parametrize("condition_dim", [None, 5])
    def test_shapes(self, network, shape, condition_dim):
        encoder, decoder = networks.build(network, shape, 3, (4, 6), condition_dim)
        extra = [] if condition_dim is None else [(None, condition_dim)]
        assert [tuple(t.shape) for t in encoder.inputs] == [(None, *shape), *extra]
        assert [tuple(t.shape) for t in decoder.inputs] == [(None, 3), *extra]
        assert decoder.output_shape == (None, *shape)
        assert len(encoder.output_shape) == 2

    @pytest.mark.parametrize("network", ["conv", "residual"])
    @pytest.mark.parametrize("shape, side", [((8, 8, 1), (2, 2)), ((10, 7, 3), (3, 2))])
    def test_codes_may_be_maps(self, network, shape, side):
        options = {"seed": 0, "spatial": True, "output_activation": "sigmoid"}
        encoder, decoder = networks.build(network, shape, 3, (4, 6), **options)
        assert encoder.input_shape == decoder.output_shape == (None, *shape)
        assert encoder.output_shape == decoder.input_shape == (None, *side, 3)
        blocks = {m: sum(type(n) is keras.layers.Add for n in m.layers) for m in (encoder, decoder)}
        assert set(blocks.values()) == {2 if network == "residual" else 0}
        z = np.random.default_rng(0).normal(size=(2, *side, 3)).astype("float32")
        pictures = array(decoder(100 * z))
        assert 0 <= pictures.min() < 0.01 and 0.99 < pictures.max() <= 1
        # A code decides what is near it.
        moved = z.copy()
        moved[:, 0, 0] += 1
        changed = np.abs(array(decoder(moved)) - array(decoder(z)))
        assert changed[:, :2, :2].max() > 1e-4
        again, _ = networks.build(network, shape, 3, (4, 6), **options)
        for a, b in zip(encoder.get_weights(), again.get_weights()):
            np.testing.assert_array_equal(a, b)
        for bad in ({"network": "dense"}, {"condition_dim": 3}):
            with pytest.raises(ValueError, match="Maps of codes need"):
                networks.build(
                    **{"network": network, **bad}, input_shape=shape, latent_dim=3, spatial=True
                )

    def test_compact_stages_are_strided_and_transposed_convolutions(self, rng):
        """Of 4 × 4 kernels: two pixels further down and right, and back again."""
        encoder, decoder = networks.build(
            "conv", (8, 8, 3), 4, (5,), seed=0, hidden=0, stages="compact", activation=None
        )
        down, up = (
            next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
            for network in (encoder, decoder)
        )
        x = rng.normal(size=(1, 8, 8, 3)).astype("float32")
        kernel = array(down.kernel).reshape(2, 2, 2, 2, 3, 5).transpose(0, 2, 1, 3, 4, 5)
        kernel = tensor(kernel.reshape(4, 4, 3, 5))
        padded = tensor(np.pad(x, ((0, 0), (0, 2), (0, 2), (0, 0))))
        expected = ops.conv(padded, kernel, strides=2, padding="valid")
        found = keras.Model(encoder.inputs, down.output)(tensor(x))
        np.testing.assert_allclose(array(found), array(expected), atol=1e-5)

        kernel = array(up.kernel).reshape(2, 2, 5, 2, 2, 3)[::-1, ::-1]
        kernel = kernel.transpose(0, 3, 1, 4, 2, 5).reshape(4, 4, 5, 3)
        z = tensor(rng.normal(size=(1, 4)))
        (maps,) = [layer for layer in decoder.layers if isinstance(layer, keras.layers.Reshape)]
        maps = array(keras.Model(decoder.inputs, maps.output)(z))[0]
        expected = np.zeros((10, 10, 3))
        for i, j in np.ndindex(4, 4):
            expected[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum(
                "c,hwcd->hwd", maps[i, j], kernel
            )
        np.testing.assert_allclose(array(decoder(z))[0], expected[:8, :8], atol=1e-5)

    def test_units_are_widths_from_the_data_inwards(self):
        encoder, decoder = networks.build("dense", (9,), 2, (7, 5))
        widths = [w.shape for n in (encoder, decoder) for w in n.weights if len(w.shape) == 2]
        assert [tuple(w) for w in widths] == [(9, 7), (7, 5), (2, 5), (5, 7), (7, 9)]

    def test_no_strided_nor_transposed_convolution(self):
        """Their gradients are what makes JAX slow on a CPU."""
        for model in networks.build("residual", (16, 16, 3), 4, (4, 8), 3):
            for layer in model.layers:
                assert not isinstance(layer, keras.layers.Conv2DTranspose)
                assert getattr(layer, "strides", (1, 1)) == (1, 1)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            (("transformer", (8, 8, 1), 2), "network='transformer'"),
            (("conv", (64,), 2), r"images.*\(64,\)"),
            (("dense", (), 2), r"input_shape=\(\)"),
            (("dense", (8, 0), 2), r"input_shape=\(8, 0\)"),
            (("dense", (8,), 0), "Received: 0"),
            (("dense", (8,), 2, (3, -1)), r"units=\(3, -1\)"),
            (("conv", (8, 8, 1), 2, (3, 4), None, 0, (1,)), r"each of the 2 stages"),
        ],
    )
    def test_bad_arguments_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            options = {"blocks": arguments[6]} if len(arguments) > 6 else {}
            networks.build(*arguments[:6], **options)

    def test_the_condition_reaches_both_networks(self):
        model = models.cvae((8, 8, 1), 2, "conv", units=(4,), num_classes=3, seed=0)
        x = make_images(np.random.default_rng(0), 1)
        codes = [model.encode(x, condition=[k]) for k in range(3)]
        assert np.abs(codes[0] - codes[1]).max() > 1e-4
        z = np.zeros((1, 2), "float32")
        pictures = [model.decode(z, condition=[k]) for k in range(3)]
        assert np.abs(pictures[0] - pictures[2]).max() > 1e-4
