"""Objectives against NumPy references, limits and expectations, and the known defects."""

import keras
import numpy as np
import pytest
import reference
from conftest import SHAPE, array, make_images
from keras import ops
from test_vae import linear_gaussian

from keras_vae import distributions, objectives, posteriors, schedules
from keras_vae import models as m

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns


def tensor(value):
    return ops.convert_to_tensor(np.asarray(value, "float32"))


def evidence(rng, n=6, d=3, samples=1, mean=None, log_var=None, step=0, training=False):
    """Evidence of made-up numbers, and the same in NumPy."""
    mean = rng.normal(size=(n, d)) if mean is None else np.asarray(mean)
    log_var = 0.3 * rng.normal(size=(n, d)) if log_var is None else np.asarray(log_var)
    z = mean + np.exp(log_var / 2) * rng.normal(size=(samples, n, d))
    log_px = -20 + rng.normal(size=(samples, n))
    zeros = ops.zeros((d,))
    q = distributions.Normal(tensor(mean), tensor(log_var))
    drawn = np.random.default_rng(5)
    made = objectives.Evidence(
        x=None,
        q=q,
        p=distributions.Normal(zeros, zeros),
        z=tensor(z),
        log_qz=q.log_prob(tensor(z)),
        log_px=tensor(log_px),
        step=ops.convert_to_tensor(step),
        training=training,
        normal=lambda shape: tensor(drawn.standard_normal(tuple(map(int, shape)))),
    )
    return made, mean, log_var, z, log_px


def scored(objective, found):
    loss, terms = objective(found)
    assert tuple(terms) == objective.terms or set(terms) == set(objective.terms)
    return array(loss), {name: array(value) for name, value in terms.items()}


def losses(make, x=None, **kwargs):
    """Loss and terms of a tiny model for fixed noise."""
    model = make(SHAPE, 3, units=(8,), seed=4, likelihood="bernoulli", **kwargs)
    x = make_images(np.random.default_rng(0), 6) if x is None else x
    noise = np.random.default_rng(1).standard_normal((2, len(x), 3), "float32")
    loss, terms = model.objective(model.evidence(ops.convert_to_tensor(x), noise=noise))
    return array(loss), {name: array(value) for name, value in terms.items()}


class TestCapacity:
    def test_it_is_the_formula_with_the_mean_over_the_batch(self, rng):
        found, mean, log_var, _, log_px = evidence(rng)
        kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)
        for capacity in (0.0, 1.0, 40.0):
            loss, terms = scored(objectives.Capacity(7.0, capacity), found)
            np.testing.assert_allclose(
                loss, -log_px[0] + 7.0 * np.abs(kl.mean() - capacity), rtol=1e-5
            )
            np.testing.assert_allclose(terms["kl_loss"], kl, rtol=1e-5)

    def test_capacity_is_a_function_of_the_step(self, rng):
        schedule = schedules.Linear(0.0, 25.0, 100)
        objective = objectives.Capacity(1.0, schedule)
        at = {}
        for step, training in ((0, True), (50, True), (1000, True), (0, False)):
            found, mean, log_var, _, log_px = evidence(
                np.random.default_rng(0), step=step, training=training
            )
            kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1).mean()
            at[step, training] = kl, (scored(objective, found)[0] + log_px[0]).mean()
        for key, capacity in (((0, True), 0.0), ((50, True), 12.5), ((1000, True), 25.0)):
            assert at[key][1] == pytest.approx(abs(at[key][0] - capacity), rel=1e-4)
        assert at[0, False][1] == at[1000, True][1]

    def test_no_capacity_and_gamma_one_is_the_plain_vae(self):
        plain, _ = losses(m.vae)
        limit, _ = losses(m.annealed_vae, gamma=1.0, capacity=0.0)
        assert limit.mean() == pytest.approx(plain.mean(), rel=1e-6)

    def test_the_parts_of_a_joint_code_have_capacities_of_their_own(self):
        model = m.joint_vae(
            SHAPE, 2, units=(8,), classes=3, gamma=5.0, capacity=1.0, discrete_capacity=0.25,
            seed=0,
        )  # fmt: skip
        x = ops.convert_to_tensor(make_images(np.random.default_rng(0), 6))
        found = model.evidence(x)
        loss, terms = model.objective(found)
        terms = {k: array(v) for k, v in terms.items()}
        penalty = abs(terms["kl_continuous"].mean() - 1.0)
        penalty += abs(terms["kl_discrete"].mean() - 0.25)
        np.testing.assert_allclose(
            array(loss), terms["reconstruction_loss"] + 5.0 * penalty, rtol=1e-5
        )
        np.testing.assert_allclose(
            terms["kl_loss"], terms["kl_continuous"] + terms["kl_discrete"], rtol=1e-5
        )
        normal, discrete = found.q.parts
        expected = reference.normal_kl(array(normal.mean), array(normal.log_var), 0.0, 0.0)
        np.testing.assert_allclose(terms["kl_continuous"], expected.sum(-1), rtol=1e-4)
        p = array(discrete.mean)
        np.testing.assert_allclose(
            terms["kl_discrete"], (p * np.log(3 * p)).sum(-1), rtol=1e-4, atol=1e-6
        )

    def test_discrete_capacity_is_at_most_what_there_is(self):
        objective = m.joint_vae(SHAPE, 2, units=(4,)).objective
        assert [c.final for c in objective.capacities] == [5.0, np.log(10)]
        assert objective.gamma == 30.0

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="gamma=-1"):
            objectives.Capacity(-1, 0.0)
        with pytest.raises(ValueError, match="capacity=-2"):
            objectives.Capacity(1.0, -2)
        with pytest.raises(ValueError, match="1 capacities of 2 parts"):
            objectives.Capacity(1.0, [1.0], ("a", "b"))


class TestFreeBits:
    def test_below_them_nothing_presses(self, rng):
        found, mean, log_var, _, log_px = evidence(rng)
        kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)
        below, terms = scored(objectives.ELBO(free_bits=kl.mean() + 3.0), found)
        np.testing.assert_allclose(below, -log_px[0] + kl.mean() + 3.0, rtol=1e-5)
        np.testing.assert_allclose(terms["kl_loss"], kl, rtol=1e-5)
        above, _ = scored(objectives.ELBO(free_bits=kl.mean() / 2), found)
        assert above.mean() == pytest.approx((kl - log_px[0]).mean(), rel=1e-5)


def mixture_terms(z, mean, log_var, weights):
    """MI, TC and dimension-wise KL of Chen et al., loop by loop."""
    n, d = mean.shape
    rows = []
    for i in range(n):
        each = reference.normal_log_prob(z[i], mean, log_var)
        log_qz = np.log((weights[i] * np.exp(each.sum(1))).sum())
        log_marginals = np.log((weights[i][:, None] * np.exp(each)).sum(0)).sum()
        log_qzx = each[i].sum()
        log_pz = reference.normal_log_prob(z[i], 0.0, 0.0).sum()
        rows.append((log_qzx - log_qz, log_qz - log_marginals, log_marginals - log_pz))
    return np.array(rows).T


def stratified(n, dataset_size):
    """The weights of Chen et al., appendix C.2, entry by entry."""
    size, rest = dataset_size, n - 1
    weights = np.full((n, n), 1 / max(rest, 1))
    for i in range(n):
        weights[i, (i + 1) % n] = (size - rest) / (size * rest)
        weights[i, i] = 1 / size
    return weights


class TestTotalCorrelation:
    @pytest.mark.parametrize("n, size", [(2, 2), (2, 100), (5, 5), (8, 60_000)])
    def test_stratified_rows_sum_to_one_and_own_weights_lie_on_the_diagonal(self, n, size):
        """A column in place of the diagonal makes a row that sums to 1.31."""
        weights = np.exp(array(objectives.stratified_log_weights(n, size)))
        np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-5)
        np.testing.assert_allclose(np.diag(weights), 1 / size, rtol=1e-5)
        np.testing.assert_allclose(weights, stratified(n, size), rtol=1e-5)

    def test_a_batch_larger_than_the_data_set_counts_as_it(self):
        weights = np.exp(array(objectives.stratified_log_weights(4, 2)))
        np.testing.assert_allclose(weights, stratified(4, 4), rtol=1e-5)
        np.testing.assert_allclose(array(objectives.stratified_log_weights(1, 9)), [[0.0]])

    @pytest.mark.parametrize("sampling", ["weighted", "stratified"])
    def test_every_term_is_the_numpy_reference(self, sampling, rng):
        found, mean, log_var, z, log_px = evidence(rng)
        weights = stratified(6, 50) if sampling == "stratified" else np.full((6, 6), 1 / 6)
        expected = mixture_terms(z[0], mean, log_var, weights)
        size = 50 if sampling == "stratified" else None
        objective = objectives.TotalCorrelation(1.5, 6.0, 0.5, sampling, size)
        loss, terms = scored(objective, found)
        for name, value in zip(("mi_loss", "tc_loss", "dimension_kl_loss"), expected):
            np.testing.assert_allclose(terms[name], value, rtol=1e-4, atol=1e-5)
        information, correlation, dimensions = expected
        total = -log_px[0] + 1.5 * information + 6.0 * correlation + 0.5 * dimensions
        np.testing.assert_allclose(loss, total, rtol=1e-5)

    def test_the_terms_sum_to_the_kl_in_expectation(self, rng):
        found, mean, log_var, *_ = evidence(rng, samples=5000)
        _, terms = scored(objectives.TotalCorrelation(), found)
        total = terms["mi_loss"] + terms["tc_loss"] + terms["dimension_kl_loss"]
        kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)
        np.testing.assert_allclose(terms["kl_loss"], kl, rtol=1e-5)
        np.testing.assert_allclose(total, kl, atol=0.2)
        assert total.mean() == pytest.approx(kl.mean(), abs=0.08)

    @pytest.mark.parametrize("options", [{}, {"sampling": "stratified", "dataset_size": 60_000}])
    def test_independent_dimensions_have_none(self, options, rng):
        """Not ±(d - 1) log N, which is 29 nats and more for ten dimensions."""
        zeros = np.zeros((16, 10))
        found, *_ = evidence(rng, 16, 10, mean=zeros, log_var=zeros)
        _, terms = scored(objectives.TotalCorrelation(**options), found)
        for name in ("mi_loss", "tc_loss", "dimension_kl_loss"):
            np.testing.assert_allclose(terms[name], 0.0, atol=1e-3)

    def test_tied_dimensions_have_some(self, rng):
        """z_2 = z_1 up to σ: TC is the mutual information of a correlated normal."""
        n, correlation = 1000, 0.9
        one = rng.standard_normal((n, 1))
        mean = correlation**0.5 * np.repeat(one, 2, axis=1)
        log_var = np.full((n, 2), np.log(1 - correlation))
        found, *_ = evidence(rng, n, 2, mean=mean, log_var=log_var)
        _, terms = scored(objectives.TotalCorrelation(), found)
        expected = -0.5 * np.log(1 - correlation**2)
        assert terms["tc_loss"].mean() == pytest.approx(expected, abs=0.12)
        assert terms["dimension_kl_loss"].mean() == pytest.approx(0.0, abs=0.1)

    def test_weights_of_one_are_the_plain_vae(self, rng):
        found, *_, log_px = evidence(rng, samples=3)
        loss, _ = scored(objectives.TotalCorrelation(1.0, 1.0, 1.0), found)
        expected = -(log_px - array(found.log_ratio)).mean(0)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)

    def test_a_batch_of_one_is_finite(self, rng):
        for options in ({}, {"sampling": "stratified", "dataset_size": 10}):
            found, *_ = evidence(rng, n=1)
            loss, terms = scored(objectives.TotalCorrelation(**options), found)
            assert np.isfinite(loss).all()
            np.testing.assert_allclose(terms["tc_loss"], 0.0, atol=1e-5)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="dataset_size=None"):
            objectives.TotalCorrelation(sampling="stratified")
        with pytest.raises(ValueError, match="sampling='all'"):
            objectives.TotalCorrelation(sampling="all")
        with pytest.raises(ValueError, match="beta=-6"):
            objectives.TotalCorrelation(beta=-6)


class TestDIP:
    @pytest.mark.parametrize("kind", ["i", "ii"])
    def test_it_is_the_numpy_reference(self, kind, rng):
        found, mean, log_var, _, log_px = evidence(rng, n=40)
        covariance = np.cov(mean.T, bias=True)
        if kind == "ii":
            covariance = covariance + np.diag(np.exp(log_var).mean(0))
        off = covariance - np.diag(np.diag(covariance))
        expected = 3.0 * (off**2).sum() + 2.0 * ((np.diag(covariance) - 1) ** 2).sum()
        loss, terms = scored(objectives.DIP(kind, 3.0, 2.0), found)
        np.testing.assert_allclose(terms["dip_loss"], expected, rtol=1e-4)
        kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)
        np.testing.assert_allclose(loss, -log_px[0] + kl + expected, rtol=1e-5)

    def test_white_codes_cost_nothing_whatever_their_number(self, rng):
        """A sum over the batch in place of its mean reads millions here."""
        white = rng.standard_normal((4000, 5))
        white -= white.mean(0)
        white = white @ np.linalg.inv(np.linalg.cholesky(np.cov(white.T, bias=True))).T
        found, *_ = evidence(rng, 4000, 5, mean=white)
        _, terms = scored(objectives.DIP("i"), found)
        np.testing.assert_allclose(terms["dip_loss"], 0.0, atol=1e-3)

    def test_defaults_and_the_limit(self):
        assert objectives.DIP("i").diagonal == 100.0 and objectives.DIP("ii").diagonal == 10.0
        plain, limit = losses(m.vae), losses(m.dip_vae, off_diagonal=0.0, diagonal=0.0)
        np.testing.assert_allclose(limit[0], plain[0], rtol=1e-6)
        with pytest.raises(ValueError, match="kind='iii'"):
            objectives.DIP("iii")


def plain_mmd(z, other, kernel):
    """Double loops over pairs."""
    n, d = z.shape

    def k(a, b):
        squared, width = np.square(a - b).sum(), 2.0 * d
        if kernel == "rbf":
            return np.exp(-squared / width)
        return sum(width * s / (width * s + squared) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    own, theirs = (
        sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        for a in (z, other)
    )
    return own + theirs - 2 * sum(k(a, b) for a in z for b in other) / n**2


class TestMMD:
    @pytest.mark.parametrize("kernel", ["imq", "rbf"])
    def test_it_is_the_numpy_reference(self, kernel, rng):
        z, other = rng.normal(size=(2, 7, 3))
        found = array(objectives.mmd(tensor(z), tensor(other), kernel))
        assert found == pytest.approx(plain_mmd(z, other, kernel), abs=1e-5)

    @pytest.mark.parametrize("kernel", ["imq", "rbf"])
    @pytest.mark.parametrize("n", [2, 5])
    def test_its_mean_is_zero_under_the_prior_even_in_small_batches(self, kernel, n, rng):
        """With the diagonal, or another N(N - 1), it is not."""
        values = [
            array(objectives.mmd(*map(tensor, rng.standard_normal((2, n, 2))), kernel))
            for _ in range(400)
        ]
        error = np.std(values) / len(values) ** 0.5
        assert abs(np.mean(values)) < 4 * error

    def test_it_is_large_away_from_the_prior(self, rng):
        z, other = rng.standard_normal((2, 50, 2))
        near = array(objectives.mmd(tensor(z), tensor(other)))
        far = array(objectives.mmd(tensor(z + 5), tensor(other)))
        assert far > 10 * abs(near) and far > 1

    def test_the_loss(self, rng):
        found, mean, log_var, z, log_px = evidence(rng)
        other = np.random.default_rng(5).standard_normal((6, 3))
        distance = plain_mmd(z[0], other, "imq")
        loss, terms = scored(objectives.MMD(10.0), found)
        np.testing.assert_allclose(loss, -log_px[0] + 10.0 * distance, rtol=1e-5)
        assert set(terms) == {"reconstruction_loss", "mmd_loss"}
        found, mean, log_var, z, log_px = evidence(rng)
        kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)
        distance = plain_mmd(z[0], np.random.default_rng(5).standard_normal((6, 3)), "rbf")
        loss, _ = scored(objectives.MMD(3.0, 0.25, "rbf"), found)
        np.testing.assert_allclose(loss, -log_px[0] + 0.25 * kl + 3.0 * distance, rtol=1e-5)

    def test_info_vae_has_the_paper_s_weights(self):
        objective = m.info_vae(SHAPE, 2, units=(4,), alpha=0.25, lambda_=20.0).objective
        assert (objective.kl_weight, objective.mmd_weight) == (0.75, 19.25)
        default = m.info_vae(SHAPE, 2, units=(4,)).objective
        assert (default.kl_weight, default.mmd_weight) == (1.0, 999.0)
        no_kl = m.info_vae(SHAPE, 2, units=(4,), alpha=1.0).objective
        assert "kl_loss" not in no_kl.terms

    @pytest.mark.parametrize("options", [{"lambda_": 0.001}, {"lambda_": 1.0}, {"lambda_": -5}])
    def test_a_weight_that_maximises_the_mmd_is_refused(self, options):
        with pytest.raises(ValueError, match="above 0.*Received: mmd_weight"):
            m.info_vae(SHAPE, 2, units=(4,), **options)
        with pytest.raises(ValueError, match="mmd_weight=0"):
            m.wae_mmd(SHAPE, 2, units=(4,), weight=0)
        with pytest.raises(ValueError, match="kl_weight=-1"):
            m.info_vae(SHAPE, 2, units=(4,), alpha=2.0)

    def test_next_to_no_weight_is_the_plain_vae(self):
        plain, limit = losses(m.vae), losses(m.info_vae, lambda_=1.0 + 1e-9)
        np.testing.assert_allclose(limit[0], plain[0], rtol=1e-6)

    def test_a_batch_of_one_is_finite(self, rng):
        found, *_ = evidence(rng, n=1)
        assert np.isfinite(scored(objectives.MMD(10.0), found)[0]).all()

    def test_the_wasserstein_reconstruction_is_the_squared_error_and_a_constant(self, images):
        model = m.wae_mmd(SHAPE, 2, units=(8,), seed=0)
        assert isinstance(model.posterior_layer, posteriors.Point)
        x = images[:4]
        _, terms = model.objective(model.evidence(ops.convert_to_tensor(x)))
        squared = np.square(x - model.reconstruct(x)).sum((1, 2, 3))
        np.testing.assert_allclose(
            array(terms["reconstruction_loss"]), squared + 32 * np.log(np.pi), rtol=1e-5
        )
        noisy = m.wae_mmd(SHAPE, 2, units=(8,), stochastic=True, seed=0)
        assert np.isfinite(noisy.log_likelihood(x, 5, verbose=False)).all()

    def test_no_divergence_without_a_density(self, images):
        model = m.wae_mmd(SHAPE, 2, units=(8,), seed=0)
        model.objective = objectives.ELBO()
        with pytest.raises(ValueError, match="no density.*Received: posterior=Point"):
            model.objective(model.evidence(ops.convert_to_tensor(images[:2])))


class TestSlicedWasserstein:
    def test_it_is_the_numpy_reference(self, rng):
        z, other = rng.normal(size=(2, 6, 3))
        directions = rng.normal(size=(4, 3))
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        a, b = (np.sort(codes @ unit.T, axis=0) for codes in (z, other))
        found = objectives.sliced_wasserstein(*map(tensor, (z, other, directions)))
        assert array(found) == pytest.approx(np.square(a - b).mean(), rel=1e-5)

    def test_equal_sets_in_any_order_are_at_no_distance(self, rng):
        z, directions = rng.normal(size=(9, 3)), tensor(rng.normal(size=(5, 3)))
        found = objectives.sliced_wasserstein(tensor(z), tensor(z[::-1]), directions)
        assert array(found) == pytest.approx(0.0, abs=1e-10)

    def test_a_shift_is_its_mean_square(self, rng):
        """E over unit θ of (θᵀs)² is ‖s‖²/d."""
        z, shift = rng.normal(size=(5, 3)), np.array([1.0, 2.0, -2.0])
        directions = tensor(rng.normal(size=(20_000, 3)))
        found = objectives.sliced_wasserstein(tensor(z), tensor(z + shift), directions)
        assert array(found) == pytest.approx(3.0, rel=0.03)

    def test_the_loss(self, rng):
        found, _, _, z, log_px = evidence(rng)
        drawn = np.random.default_rng(5)
        directions, other = drawn.standard_normal((7, 3)), drawn.standard_normal((6, 3))
        distance = array(objectives.sliced_wasserstein(*map(tensor, (z[0], other, directions))))
        loss, _ = scored(objectives.SlicedWasserstein(4.0, 7), found)
        np.testing.assert_allclose(loss, -log_px[0] + 4.0 * distance, rtol=1e-5)
        with pytest.raises(ValueError, match="slices=0"):
            objectives.SlicedWasserstein(slices=0)


class TestIWAE:
    def test_it_is_the_bound_and_not_the_weighted_mean_of_log_weights(self, rng):
        found, *_ = evidence(rng, samples=20)
        weights = array(found.log_weights)
        loss, _ = scored(objectives.IWAE(20), found)
        np.testing.assert_allclose(loss, -reference.logmeanexp(weights), rtol=1e-5)
        normalised = np.exp(weights - weights.max(0))
        normalised /= normalised.sum(0)
        wrong = -(normalised * weights).sum(0)
        assert (np.abs(wrong - loss) > 0.1).all()

    def test_one_sample_is_the_elbo_s_own_estimate(self, rng):
        found, *_, log_px = evidence(rng)
        loss, _ = scored(objectives.IWAE(1), found)
        np.testing.assert_allclose(loss, -(log_px - array(found.log_ratio))[0], rtol=1e-5)
        many, mean, log_var, _, _ = evidence(rng, n=2, samples=4000)
        kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)
        ratio = array(many.log_ratio)
        assert (np.abs(ratio.mean(0) - kl) < 5 * ratio.std(0) / 4000**0.5).all()

    def test_the_loss_falls_with_the_number_of_samples_to_the_exact_likelihood(self, rng):
        model, x, exact = linear_gaussian(rng)
        tiled, means = ops.convert_to_tensor(np.repeat(x, 50, axis=0)), []
        for samples in (1, 5, 50):
            model.objective = objectives.IWAE(samples)
            loss, _ = model.objective(model.evidence(tiled))
            means.append(array(loss).mean())
        assert means[0] > means[1] > means[2] >= -exact.mean() - 0.03
        assert means[2] == pytest.approx(-exact.mean(), abs=0.1)

    def gradients(self, gradient, x, seed, samples=4, backward=None, make=m.vae):
        """Of every weight, by one step of plain descent at rate 1."""
        model = make((6,), 2, units=(), seed=0)
        model.objective = objectives.IWAE(samples, gradient, backward)
        before = [w.copy() for w in model.get_weights()]
        model.seed_generator = keras.random.SeedGenerator(seed)
        model.compile(optimizer=keras.optimizers.SGD(1.0))
        model.fit(x, batch_size=len(x), shuffle=False, verbose=0)
        found = [a - b for a, b in zip(before, model.get_weights()) if a.ndim]
        own = {id(w) for w in model.posterior_layer.weights}
        of_encoder = [id(w) in own for w in model.weights if len(w.shape)]
        return found, of_encoder

    def test_the_doubly_reparameterised_gradient_is_the_same_in_expectation(self, rng):
        """The decoder's exactly, for the same noise; the encoder's in the mean."""
        x = np.repeat((rng.random((1, 6)) < 0.5).astype("float32"), 20_000, axis=0)
        runs = {g: [self.gradients(g, x, seed) for seed in range(5)] for g in ("standard", "dreg")}
        of_encoder = runs["dreg"][0][1]
        assert sum(of_encoder) == 2 and len(of_encoder) == 4
        for i, encoder in enumerate(of_encoder):
            a, b = (np.stack([found[i] for found, _ in run]) for run in runs.values())
            if not encoder:
                np.testing.assert_allclose(a, b, atol=1e-4)
                continue
            assert np.abs(a - b).max() > 1e-5
            error = np.sqrt((a.var(0) + b.var(0)) / (len(a) - 1))
            assert (np.abs(a.mean(0) - b.mean(0)) < 6 * error + 2e-3).all()
            assert np.abs(b.mean(0)).max() > 0.01

    def test_at_the_exact_posterior_the_doubly_reparameterised_gradient_is_none(self, rng):
        """Every weight is p(x) then; the plain estimate still has its noise."""
        model, x, _ = linear_gaussian(rng, k=1)
        start = model.posterior_layer.get_weights()
        moved = {}
        for gradient in ("standard", "dreg"):
            model.posterior_layer.set_weights(start)
            model.objective = objectives.IWAE(5, gradient)
            model.compile(optimizer=keras.optimizers.SGD(1.0))
            decoder = model.decoder.get_weights()
            model.fit(x, batch_size=len(x), verbose=0)
            model.decoder.set_weights(decoder)
            moved[gradient] = max(
                np.abs(a - b).max() for a, b in zip(start, model.posterior_layer.get_weights())
            )
        assert moved["dreg"] < 1e-4 < 1e-3 < moved["standard"]

    def test_samples_are_drawn_as_often_as_their_weights_say(self, rng):
        """Each within one of count times its weight, and in the mean just so."""
        model = m.vae((6,), 2, units=(), seed=0)
        weights = rng.dirichlet(np.full(7, 0.3), 20_000).T.astype("float32")
        drawn = array(model._drawn(tensor(weights), 4))
        assert drawn.shape == (4, 20_000)
        counts = (drawn[None] == np.arange(7)[:, None, None]).sum(1)
        assert (np.abs(counts - 4 * weights) < 1 + 1e-5).all()
        assert np.abs((counts - 4 * weights).mean(1)).max() < 6 * 0.5 / 20_000**0.5

    def test_few_samples_with_a_gradient_leave_the_loss_as_it_is(self, rng):
        model, x, _ = linear_gaussian(rng)
        noise = tensor(rng.normal(size=(5, len(x), model.noise_dim)))
        losses = []
        for backward in (None, 2):
            model.objective = objectives.IWAE(5, "dreg", backward)
            found = model.evidence(ops.convert_to_tensor(x), training=True, noise=noise)
            assert found.z.shape[0] == (backward or 5)
            losses.append(scored(model.objective, found))
        np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=1e-5)
        for name in ("reconstruction_loss", "kl_loss"):
            a, b = (terms[name] for _, terms in losses)
            np.testing.assert_allclose(array(a), array(b), rtol=1e-5)

    @pytest.mark.parametrize("gradient", ["standard", "dreg"])
    def test_the_gradient_of_few_samples_is_that_of_all_in_expectation(self, gradient, rng):
        """Same noise, so that what differs is which samples were drawn.

        The prior is learned, as its parameters are part of every weight.
        """
        x = np.repeat((rng.random((1, 6)) < 0.5).astype("float32"), 20_000, axis=0)
        all_four, two = (
            [self.gradients(gradient, x, s, backward=b, make=m.mixture_vae)[0] for s in range(5)]
            for b in (None, 2)
        )
        for a, b in zip(map(np.stack, zip(*all_four)), map(np.stack, zip(*two))):
            difference = b - a
            error = difference.std(0) / (len(a) - 1) ** 0.5
            assert np.abs(difference).max() > 1e-6
            assert (np.abs(difference.mean(0)) < 6 * error + 2e-3).all()
            assert np.abs(a.mean(0)).max() > 0.01

    def test_the_one_sample_there_is_has_the_whole_gradient(self, rng):
        x = (rng.random((50, 6)) < 0.5).astype("float32")
        for gradient in ("standard", "dreg"):
            whole, drawn = (self.gradients(gradient, x, 0, 1, b)[0] for b in (None, 1))
            for a, b in zip(whole, drawn):
                np.testing.assert_allclose(a, b, atol=1e-6)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="samples=0"):
            objectives.IWAE(0)
        with pytest.raises(ValueError, match="backward=6, samples=5"):
            objectives.IWAE(5, backward=6)
        with pytest.raises(ValueError, match="backward=0"):
            objectives.IWAE(5, backward=0)
        with pytest.raises(ValueError, match="gradient='stl'"):
            objectives.IWAE(gradient="stl")


def test_a_beta_that_nothing_would_read_is_refused():
    with pytest.raises(ValueError, match="beta=4.0, objective=Capacity"):
        m.annealed_vae(SHAPE, 2, units=(4,), beta=4.0)


def test_nothing_hides_an_effective_beta(images):
    """Nats are summed: of four times as many equal pixels there are four times as many."""
    small = m.vae((2,), 2, units=(), seed=0)
    large = m.vae((8,), 2, units=(), seed=0)
    x = np.full((3, 2), 0.25, "float32")
    for model in (small, large):
        model.decoder.set_weights([0 * w for w in model.decoder.get_weights()])
    terms = [
        model.evaluate(np.tile(x, repeats), verbose=0, return_dict=True)
        for model, repeats in ((small, (1, 1)), (large, (1, 4)))
    ]
    ratio = terms[1]["reconstruction_loss"] / terms[0]["reconstruction_loss"]
    assert ratio == pytest.approx(4.0, rel=1e-6)
    for logs in terms:
        assert logs["loss"] == pytest.approx(logs["reconstruction_loss"] + logs["kl_loss"])


def test_penalties_of_the_batch_are_shared_and_sample_weights_multiply_them(images):
    """Twice the weight everywhere is twice the loss."""
    model = m.dip_vae(SHAPE, 2, units=(8,), seed=0)
    x = images[:8]
    noise = np.zeros((1, 8, 2), "float32")
    loss, terms = model.objective(model.evidence(ops.convert_to_tensor(x), noise=noise))
    dip = array(terms["dip_loss"])
    assert dip.shape == (8,) and (dip == dip[0]).all()
    rest = array(terms["reconstruction_loss"]) + array(terms["kl_loss"])
    np.testing.assert_allclose(array(loss), rest + dip, rtol=1e-5)
