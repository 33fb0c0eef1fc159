"""Attribute control of a model whose true score is known."""

import dataclasses

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

    def edit(self, x, condition, *, strength=1.0, keep="decoded", **changes):
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


class Linear:
    """Pictures are shifted by strength · (y' - y) · what an attribute looks like."""

    def __init__(self, looks):
        self.looks = looks
        self.condition = conditions.Attributes(len(looks), NAMES[: len(looks)])

    def reconstruct(self, x, condition):
        return x * 0.5 + 0.1

    def edit(self, x, condition, *, strength=1.0, keep="decoded", **changes):
        plain = x if keep == "picture" else self.reconstruct(x, condition)
        for name, value in changes.items():
            k = self.condition.index(name)
            shift = strength * (value - condition[:, k])
            plain = plain + shift[:, None, None, None] * self.looks[k]
        return plain


class TestEffect:
    """⟨c, d⟩ / ⟨d, d⟩ where the change c and the difference d are known."""

    @pytest.fixture
    def faces(self, rng):
        y = (rng.random((30, 2)) < [0.3, 0.6]).astype("float32")
        return rng.random((30, 6, 6, 3), dtype="float32"), y

    @staticmethod
    def differences(x, y):
        return [x[y[:, k] > 0].mean(0) - x[y[:, k] == 0].mean(0) for k in range(2)]

    @staticmethod
    def measured(looks, x, y, **options):
        return metrics.attribute_control(
            Linear(looks), x, y, lambda pictures: np.zeros((len(pictures), 2)), border=2, **options
        )

    @pytest.mark.parametrize("keep", ["decoded", "picture"])
    @pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
    def test_edits_along_the_whole_difference(self, faces, strength, keep):
        x, y = faces
        found = self.measured(self.differences(x, y), x, y, strength=strength, keep=keep)
        np.testing.assert_allclose(found.effect, [strength, strength], atol=1e-5)
        # What keeps the picture is compared with it: nothing else has changed.
        expected = [strength * np.abs(d).mean() for d in self.differences(x, y)]
        np.testing.assert_allclose(found.change, expected, rtol=1e-4, atol=1e-7)
        assert f"{strength:8.2f}" in str(found).splitlines()[1]

    def test_what_is_orthogonal_to_the_difference_or_against_it(self, faces):
        x, y = faces
        first, second = self.differences(x, y)
        across = second - (second * first).sum() / (first * first).sum() * first
        found = self.measured([across, -0.25 * second], x, y)
        np.testing.assert_allclose(found.effect, [0, -0.25], atol=1e-5)

    def test_both_directions_count_by_their_examples(self, faces):
        x, y = faces
        differences = self.differences(x, y)

        class OnlyOn(Linear):
            def edit(self, x, condition, **options):
                for name in NAMES[:2]:
                    if name in options:
                        own = condition[:, self.condition.index(name)]
                        options[name] = np.maximum(options[name], own)
                return super().edit(x, condition, **options)

        found = metrics.attribute_control(
            OnlyOn(differences), x, y, lambda pictures: np.zeros((len(pictures), 2)), border=2
        )
        np.testing.assert_allclose(found.effect, 1 - y.mean(0), rtol=1e-5)

    def test_without_a_difference_or_a_class_there_is_none(self, faces):
        x, y = faces
        y[:, 1] = 1.0
        found = self.measured([x[0], x[1]], np.zeros_like(x), y)
        assert np.isnan(found.effect).all()

    def test_a_result_without_it_prints_as_before(self, faces):
        x, y = faces
        found = self.measured(self.differences(x, y), x, y)
        fields = dataclasses.asdict(found)
        del fields["effect"]
        old = metrics.AttributeControl(**fields)
        assert old.effect is None
        new, plain = str(found).splitlines(), str(old).splitlines()
        assert [line[:-8] for line in new[:-1]] == plain[:-1] and new[-1] == plain[-1]


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
