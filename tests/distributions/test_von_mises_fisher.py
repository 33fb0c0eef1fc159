"""Von Mises and Fisher's distribution against scipy, Wood's sampler and closed forms."""

import numpy as np
import pytest
from keras import ops

from keras_vae import distributions, priors
from tests.support import array, tensor
from tests.support.autodiff import gradient, jacobian

stats = pytest.importorskip("scipy.stats")
special = pytest.importorskip("scipy.special")

pytestmark = pytest.mark.turns

DIMS = [2, 3, 5, 10, 40]
KAPPAS = np.array([1e-3, 0.1, 1.0, 7.0, 50.0, 300.0, 1e4, 1e5])
N = 4000


def ratio(d, kappa):
    """A_d(κ), float64."""
    return special.ive(d / 2, kappa) / special.ive(d / 2 - 1, kappa)


def log_normaliser(d, kappa):
    """log C_d(κ), float64."""
    bessel = np.log(special.ive(d / 2 - 1, kappa)) + kappa
    return (d / 2 - 1) * np.log(kappa) - d / 2 * np.log(2 * np.pi) - bessel


def directions(rng, n, d):
    points = rng.normal(size=(n, d))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def make(direction, kappa):
    """The distribution of unit vectors `(n, d)` and of n concentrations."""
    kappa = np.broadcast_to(kappa, (len(direction),))
    return distributions.VonMisesFisher(tensor(direction), tensor(kappa[:, None]))


def on_grid(d):
    """Unit vectors `(m, d)` of a grid of the circle or the sphere, and their areas."""
    angle = 2 * np.pi * (np.arange(400) + 0.5) / 400
    if d == 2:
        return np.stack([np.cos(angle), np.sin(angle)], -1), np.full(400, 2 * np.pi / 400)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    height, angle = (g.ravel() for g in np.meshgrid(nodes, angle, indexing="ij"))
    radius = np.sqrt(1 - height**2)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], -1)
    return points, np.repeat(weights, 400) * 2 * np.pi / 400


def by_wood(rng, d, kappa, n):
    """μᵀz of n samples by rejection: Ulrich 1984 with the correction of Wood 1994."""
    root = np.sqrt(4 * kappa**2 + (d - 1) ** 2)
    b = (root - 2 * kappa) / (d - 1)
    a = (d - 1 + 2 * kappa + root) / 4
    c = 4 * a * b / (1 + b) - (d - 1) * np.log(d - 1)
    found = np.empty(0)
    while len(found) < n:
        e = rng.beta((d - 1) / 2, (d - 1) / 2, n)
        t = 2 * a * b / (1 - (1 - b) * e)
        kept = (d - 1) * np.log(t) - t + c >= np.log(rng.random(n))
        found = np.append(found, ((1 - (1 + b) * e) / (1 - (1 - b) * e))[kept])
    return found[:n]


@pytest.mark.parametrize("d", DIMS)
class TestAgainstScipy:
    def test_moments_are_ratios_of_bessel_functions(self, d, rng):
        """Of 1 - A too, of which a difference of float32 numbers near 1 would keep nothing."""
        q = make(directions(rng, len(KAPPAS), d), KAPPAS)
        expected = ratio(d, KAPPAS)
        np.testing.assert_allclose(array(q.mean), expected[:, None] * array(q.direction), atol=1e-6)
        fall = special.ive(d / 2 - 1, KAPPAS) - special.ive(d / 2, KAPPAS)
        fall /= special.ive(d / 2 - 1, KAPPAS)
        np.testing.assert_allclose(array(q.angle.fall), fall, rtol=2e-5)
        # The variance of a coordinate across μ is A / κ.
        across = array(q.angle.variances()[1])
        np.testing.assert_allclose(across, expected / KAPPAS, rtol=1e-5)
        trace = 1.0 - expected**2
        np.testing.assert_allclose(array(q.variance).sum(-1), trace, rtol=1e-3, atol=1e-7)

    def test_density_and_entropy(self, d, rng):
        for kappa in (0.1, 7.0, 300.0):
            mean = directions(rng, 1, d)
            other = stats.vonmises_fisher(mean[0], kappa)
            x = np.concatenate([directions(rng, 5, d), other.rvs(5, random_state=1).reshape(5, d)])
            q = make(mean, kappa)
            np.testing.assert_allclose(array(q.log_prob(tensor(x))), other.logpdf(x), rtol=1e-5)
            np.testing.assert_allclose(array(q.entropy()), other.entropy(), rtol=1e-5, atol=1e-5)

    def test_kl_to_the_uniform_prior_and_its_gradient(self, d, rng):
        """KL = κ A(κ) + log C(κ) + log area, whose derivative is κ A'(κ)."""
        prior = priors.UniformSphere(d)
        area = np.log(2) + d / 2 * np.log(np.pi) - special.gammaln(d / 2)
        a = ratio(d, KAPPAS)
        expected = KAPPAS * a + log_normaliser(d, KAPPAS) + area
        mean = directions(rng, len(KAPPAS), d)
        np.testing.assert_allclose(
            array(make(mean, KAPPAS).kl(prior)), expected, rtol=2e-6, atol=2e-6 * d**0.5
        )

        def total(kappa):
            return ops.sum(distributions.VonMisesFisher(tensor(mean), kappa).kl(prior))

        slope = gradient(total, KAPPAS[:, None].astype("float32"))[:, 0]
        # 1 - A² - (d - 1) A / κ is a difference of numbers near each other from κ = 1000 on.
        exact = KAPPAS * (1 - a**2 - (d - 1) * a / KAPPAS)
        exact = np.where(KAPPAS > 1e3, (d - 1) / (2 * KAPPAS), exact)
        np.testing.assert_allclose(slope, exact, rtol=0.01 if d < 40 else 0.1, atol=2e-6)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("kappa", [0.0, 0.5, 20.0, 500.0])
def test_density_integrates_to_one(d, kappa, rng):
    points, areas = on_grid(d)
    q = make(directions(rng, 1, d), kappa)
    assert (np.exp(array(q.log_prob(tensor(points)))) * areas).sum() == pytest.approx(1, abs=1e-4)
    uniform = distributions.UniformSphere(d)
    density = np.exp(array(uniform.log_prob(tensor(points))))
    assert (density * areas).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("d", [2, 3, 10])
def test_kl_is_the_mean_over_samples(d, rng):
    q = make(directions(rng, 3, d), [0.5, 8.0, 200.0])
    for p in (distributions.UniformSphere(d), make(directions(rng, 3, d), [2.0, 5.0, 30.0])):
        z, log_qz = q.transform_and_log_prob(tensor(rng.normal(size=(N, 3, d))))
        values = array(log_qz) - array(p.log_prob(z))
        error = values.std(0) / N**0.5
        assert (np.abs(values.mean(0) - array(q.kl(p))) < 4.5 * error + 1e-4).all()
    np.testing.assert_allclose(array(q.kl(q)), 0.0, atol=1e-4)


@pytest.mark.parametrize("d", DIMS)
class TestSamples:
    @pytest.mark.parametrize("kappa", [0.5, 10.0, 200.0, 1e4])
    def test_angles_are_those_of_rejection_sampling(self, d, kappa, rng):
        mean = directions(rng, 1, d)
        z = array(make(mean, kappa).transform(tensor(rng.normal(size=(N, 1, d)))))[:, 0]
        np.testing.assert_allclose(np.linalg.norm(z, axis=-1), 1.0, atol=1e-6)
        fall = 0.5 * ((z - mean) ** 2).sum(-1)
        expected = 1 - by_wood(rng, d, kappa, N)
        assert stats.ks_2samp(fall, expected).pvalue > 1e-3
        error = expected.std() / N**0.5
        assert abs(fall.mean() - (1 - ratio(d, kappa))) < 4.5 * error

    def test_their_covariance_is_the_closed_form(self, d, rng):
        q = make(directions(rng, 2, d), [3.0, 60.0])
        z = array(q.transform(tensor(rng.normal(size=(N, 2, d)))))
        within = sum(np.cov(z[:, i].T, bias=True) for i in range(2)) / 2
        np.testing.assert_allclose(array(q.mean_covariance()), within, atol=4 / N**0.5 / d)
        np.testing.assert_allclose(array(q.variance), z.var(0), rtol=0.08, atol=1e-4)

    def test_the_density_comes_with_them(self, d, rng):
        q = make(directions(rng, len(KAPPAS), d), KAPPAS)
        z, log_prob = q.transform_and_log_prob(tensor(rng.normal(size=(50, len(KAPPAS), d))))
        # A float32 coordinate near 1 keeps 6e-8, and κ of 1e5 makes √(κ d) of that.
        np.testing.assert_allclose(array(q.log_prob(z)), array(log_prob), rtol=1e-5, atol=1e-3)

    def test_limits(self, d, rng):
        """Without concentration the direction of the noise, without noise the mean direction."""
        mean, noise = directions(rng, 4, d), rng.normal(size=(6, 4, d))
        found = array(make(mean, 0.0).transform(tensor(noise)))
        unit = noise / np.linalg.norm(noise, axis=-1, keepdims=True)
        np.testing.assert_allclose(found, unit, atol=2e-5)
        uniform = distributions.UniformSphere(d)
        np.testing.assert_allclose(array(uniform.transform(tensor(noise))), unit, atol=1e-6)
        q = make(mean, [0.0, 1.0, 100.0, 1e4])
        np.testing.assert_allclose(array(q.transform(ops.zeros((1, 4, d))))[0], mean, atol=1e-6)
        # Opposite noise comes back, whatever the concentration.
        for side in (1.0, -1.0):
            assert np.isfinite(array(q.transform(tensor(side * mean[None])))).all()


class TestGradient:
    """E[exp(aᵀz)] = C(κ) / C(‖κ μ + a‖): what it is with its derivatives."""

    @staticmethod
    def exact(mean, kappa, a):
        d = len(a)
        log = log_normaliser(d, kappa)
        return np.exp(log - log_normaliser(d, np.linalg.norm(kappa * mean + a)))

    @pytest.mark.parametrize("d", [2, 3, 8])
    @pytest.mark.parametrize("kappa", [0.7, 6.0, 80.0])
    def test_a_mean_over_samples_has_the_gradient_of_the_expectation(self, d, kappa, rng):
        mean, step = directions(rng, 1, d)[0], 1e-4
        a = 2.0 * directions(rng, 1, d)[0]
        noise = [tensor(part) for part in rng.normal(size=(20, N // 10, 1, d))]
        across = a - (a @ mean) * mean
        across /= np.linalg.norm(across)

        def moved(by_angle, by_kappa):
            turned = np.cos(by_angle) * mean + np.sin(by_angle) * across
            return self.exact(turned, kappa + by_kappa, a)

        expected = [
            (moved(0, step) - moved(0, -step)) / (2 * step),
            (moved(step, 0) - moved(-step, 0)) / (2 * step),
        ]

        def of_both(both, part):
            turned = ops.cos(both[1]) * tensor(mean) + ops.sin(both[1]) * tensor(across)
            q = distributions.VonMisesFisher(turned[None], ops.reshape(both[0], (1, 1)))
            return ops.mean(ops.exp(ops.sum(q.transform(part) * tensor(a), axis=-1)))

        both = np.array([kappa, 0.0], "float32")
        found = np.array([gradient(lambda v: of_both(v, part), both) for part in noise])  # noqa: B023
        error = found.std(0) / len(found) ** 0.5
        assert (np.abs(found.mean(0) - expected) < 5 * error).all()
        # As exact as the mean is: no sample has a gradient that is far from the others'.
        assert (error < 0.05 * self.exact(mean, kappa, a) * np.linalg.norm(a)).all()

    def test_by_the_concentration_it_is_that_of_each_sample(self, rng):
        mean, noise = directions(rng, 1, 4), tensor(rng.normal(size=(6, 1, 4)))
        weights = tensor(rng.normal(size=(6, 1, 4)))

        def total(kappa):
            q = distributions.VonMisesFisher(tensor(mean), ops.reshape(kappa, (1, 1)))
            return ops.sum(q.transform(noise) * weights)

        for kappa in (0.5, 20.0, 1000.0):
            step = 0.02 * kappa
            ends = [array(total(tensor(kappa + s))) for s in (step, -step)]
            expected = (ends[0] - ends[1]) / (2 * step)
            found = gradient(total, np.float32(kappa))
            assert found == pytest.approx(expected, rel=0.01, abs=2e-3 / kappa)

    def test_by_the_direction_samples_turn_with_it(self, rng):
        """dz = (dμ μᵀ - μ dμᵀ) z: lengths and angles stay."""
        mean, noise = directions(rng, 1, 3), tensor(rng.normal(size=(1, 1, 3)))
        kappa = tensor([[5.0]])
        z = array(distributions.VonMisesFisher(tensor(mean), kappa).transform(noise))[0, 0]

        def drawn(direction):
            unit = direction / ops.sqrt(ops.sum(ops.square(direction)))
            return distributions.VonMisesFisher(unit[None], kappa).transform(noise)[0, 0]

        across = np.eye(3) - mean.T @ mean
        expected = (mean[0] @ z) * across - np.outer(mean[0], across @ z)
        np.testing.assert_allclose(jacobian(drawn, mean[0]), expected, atol=1e-5)


def test_other_pairs_have_no_closed_form(rng):
    q, normal = make(directions(rng, 2, 3), 2.0), distributions.Normal(ops.zeros(3), ops.zeros(3))
    for p in (normal, distributions.UniformSphere(4), make(directions(rng, 2, 4), 2.0)):
        with pytest.raises(NotImplementedError, match=r"KL\(VonMisesFisher \|\| "):
            q.kl(p)
    with pytest.raises(NotImplementedError, match=r"KL\(UniformSphere \|\| VonMisesFisher"):
        distributions.UniformSphere(3).kl(q)
