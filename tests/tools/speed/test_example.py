"""`benchmark --example`: both models are the same VAE, and both train."""

import keras
import numpy as np
import pytest

from tools.demo import digits
from tools.speed import example

TENSORFLOW = keras.backend.backend() == "tensorflow"


@pytest.mark.skipif(not TENSORFLOW, reason="keras.io's example is for TensorFlow")
def test_both_learn_the_same(capsys):
    x = digits()[0][:512]
    theirs, ours = example.by_train_step(), example.ours()
    options = {"batch_size": 32, "epochs": 2, "verbose": 0}
    logs = theirs.fit(x, **options).history
    expected = ours.fit(x, **options).history
    assert logs["loss"][1] == pytest.approx(expected["loss"][1], rel=0.1)
    assert logs["kl"][1] == pytest.approx(expected["kl_loss"][1], abs=3.0)
    built = sum(np.prod(w.shape) for w in theirs.trainable_weights)
    assert built == sum(np.prod(w.shape) for w in ours.trainable_weights)
    found = example.beside(1, 2, 1)
    assert min(found[f"{n}_per_second"] for n in ("ours", "example")) > 0
    assert f"{found['ratio_wall']:.2f} wall" in capsys.readouterr().out


@pytest.mark.skipif(TENSORFLOW, reason="it runs there")
def test_another_backend_is_told():
    with pytest.raises(ValueError, match="--backend tensorflow benchmark --example"):
        example.by_train_step()
