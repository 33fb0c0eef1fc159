"""`benchmark --quality`."""

import numpy as np
import pytest

from tools.speed import quality

pytestmark = pytest.mark.once


def test_the_bound_of_each_kind_falls(offline, capsys):
    found = quality.curves("mnist", 3, stages=("compact",), widths=(0, 4))
    assert set(found) == {("compact", 0), ("compact", 4)}
    for bounds in found.values():
        losses, seconds = np.transpose(bounds)
        assert (np.diff(losses) < 0).all() and (np.diff(seconds) > 0).all()
        assert 100 < losses[-1] < 560
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("| stages") and f"{found['compact', 4][-1][0]:.2f}" in rows[-1]
