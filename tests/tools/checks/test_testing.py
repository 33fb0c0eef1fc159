"""The tiers of the test suite and the tests of what has changed."""

import pytest

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "closing, expected",
    [
        ("3 passed, 1 skipped in 2.0s", {"passed": 3, "skipped": 1}),
        (
            "= 2 failed, 10 passed, 4 errors, 1 warning in 60.00s (0:01:00) =",
            {"failed": 6, "passed": 10},
        ),
        ("", {}),
    ],
)
def test_closing_lines_are_counted(closing, expected):
    from tools.checks import testing

    assert testing.counted(closing) == expected


def test_end_to_end_tests_are_all_where_they_are_looked_for():
    from tools.checks import testing

    marker = "mark." + testing.DEFAULTS
    files = [p for p in (testing.ROOT / "tests").rglob("test_*.py") if marker in p.read_text()]
    assert files == [testing.ROOT / testing.DEFAULTS_FILE]
