"""How evenly a codebook is used."""

import numpy as np
import pytest

from keras_vae import metrics

pytestmark = pytest.mark.turns


class TestCodebookUsage:
    def test_uniform_use_has_the_perplexity_of_its_size(self):
        usage = metrics.codebook_usage(np.arange(32).reshape(2, 4, 4), 32)
        assert usage.used == 1.0 and usage.perplexity == pytest.approx(32)
        assert usage.counts.tolist() == [1] * 32

    def test_unused_codes(self):
        usage = metrics.codebook_usage(np.array([[0, 0, 3, 3]]), 8)
        assert usage.used == 0.25 and usage.perplexity == pytest.approx(2.0)
        assert str(usage) == "25.0 % of 8 codes are used, perplexity 2.0"
        single = metrics.codebook_usage(np.zeros((1, 1, 1), "int32"), 8)
        assert single.perplexity == 1.0

    def test_what_are_no_codes_is_refused(self):
        with pytest.raises(TypeError, match="float64"):
            metrics.codebook_usage(np.zeros(3), 8)
        for codes in ([8], [-1]):
            with pytest.raises(ValueError, match="from 0 to 7"):
                metrics.codebook_usage(np.array(codes), 8)
        with pytest.raises(ValueError, match="no codes"):
            metrics.codebook_usage(np.zeros((0, 2), "int32"), 8)
