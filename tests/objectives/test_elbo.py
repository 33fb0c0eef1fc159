"""The ELBO, free bits and capacities."""

import numpy as np
import pytest
from keras import ops

from keras_vae import models as m
from keras_vae import objectives, schedules
from tests.support import SHAPE, array, make_images, reference
from tests.support.objectives import evidence, losses, scored

pytestmark = pytest.mark.turns


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
