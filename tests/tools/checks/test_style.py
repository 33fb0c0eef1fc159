"""The checks that CI begins with."""

import pytest

from tools.checks import style

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "checks, status",
    [
        ({"good": ["platform"]}, 0),
        ({"bad": ["no_such_module"]}, 1),
        ({"bad": ["no_such_module"], "good": ["platform"]}, 1),
    ],
)
def test_one_failure_fails_and_the_others_still_run(checks, status, tmp_path, capsys):
    (tmp_path / "tests").mkdir()
    assert style.run(tmp_path, checks) == status
    lines = capsys.readouterr().out
    for name in checks:
        assert f"{name:<12} {'passed' if name == 'good' else 'failed'} in " in lines
    assert ("No module named no_such_module" in lines) == bool(status)


def test_without_a_checkout_it_says_so(tmp_path):
    with pytest.raises(SystemExit, match="checkout"):
        style.run(tmp_path)
