"""Attribute control of a model whose true score is known."""

import numpy as np
import pytest

from keras_vae import conditions, metrics

pytestmark = pytest.mark.turns


NAMES = ("left", "right", "stuck")


class Painter:
    """Pictures whose middle pixels are their attributes; `stuck` cannot be changed.

    Switching `left` also moves a pixel of the border by 0.1, and is read as
    `right` too in every second picture.
    """

    condition = conditions.Attributes(3, NAMES)

    def paint(self, y, own):
        x = np.zeros((len(y), 8, 8, 1), "float32")
        x[:, 4, 3:5, 0] = y[:, :2]
        x[:, 4, 5, 0] = own[:, 2]
        x[:, 0, 0, 0] = 0.1 * y[:, 0]
        x[::2, 4, 4, 0] = np.abs(own[::2, 1] - np.abs(y - own)[::2, 0])
        changed = np.abs(y - own)[:, 1] > 0
        x[changed, 4, 4, 0] = y[changed, 1]
        return x

    def reconstruct(self, x, condition):
        return self.paint(condition, condition)

    def edit(self, x, condition, **changes):
        y = condition.copy()
        for name, value in changes.items():
            y[:, self.condition.index(name)] = value
        return self.paint(y, condition)

    def sample(self, n, condition, seed):
        return self.paint(condition, np.zeros_like(condition))


def read(x):
    return x[:, 4, 3:6, 0] - 0.5


@pytest.fixture
def data(rng):
    y = (rng.random((40, 3)) < 0.4).astype("float32")
    return np.zeros((40, 8, 8, 1), "float32"), y


def test_control_of_a_model_whose_score_is_known(data):
    x, y = data
    found = metrics.attribute_control(Painter(), x, y, read, border=2)
    np.testing.assert_array_equal(found.on, [1, 1, 0])
    np.testing.assert_array_equal(found.off, [1, 1, 0])
    np.testing.assert_array_equal(found.counts[:, 1], y.sum(0))
    np.testing.assert_array_equal(found.counts.sum(1), [40, 40, 40])
    assert found.asked_and_read == pytest.approx(4 / 6)
    assert found.worst[0] == 0 and found.worst[1] == "stuck on"
    # Switching `left` flips `right`, one of two others, in every second picture.
    np.testing.assert_allclose(found.others_changed, [0.25, 0, 0])
    # One border pixel of 48 moves by 0.1 in every `left`; nothing else does.
    np.testing.assert_allclose(found.border_mse, [0.01 / 48, 0, 0], rtol=1e-5)
    assert found.border_psnr == pytest.approx(-10 * np.log10(0.01 / 48 / 3), abs=1e-3)
    np.testing.assert_allclose(found.change, [(1 + 0.1 + 0.5) / 64, 1 / 64, 0], rtol=1e-5)
    assert "left" in str(found) and "worst 0.000, stuck on" in str(found)


def test_chosen_names_and_a_direction_without_examples(data):
    x, y = data
    y[:, 1] = 1.0
    found = metrics.attribute_control(Painter(), x, y, read, names=["right"], border=2)
    assert found.names == ("right",) and np.isnan(found.on[0]) and found.off[0] == 1
    assert found.asked_and_read == 1.0 and found.worst == (1.0, "right off")


def test_sampled_attributes_of_a_known_model(data):
    _, y = data
    shares, balanced = metrics.sampled_attributes(Painter(), y, read)
    assert shares[0] == 1 and balanced[0] == 1
    # `stuck` is never drawn: right where it is not asked for.
    assert shares[2] == pytest.approx(1 - y[:, 2].mean()) and balanced[2] == 0.5


def test_what_control_refuses(data):
    x, y = data
    with pytest.raises(ValueError, match="Did you mean 'left'"):
        metrics.attribute_control(Painter(), x, y, read, names=["lefd"])
    with pytest.raises(ValueError, match="must be 0 or 1"):
        metrics.attribute_control(Painter(), x, 2 * y - 1, read)
    with pytest.raises(ValueError, match="`border` must be from 1 to 3"):
        metrics.attribute_control(Painter(), x, y, read, border=4)
