"""The test suite itself: what is an error in it, which tests a process runs."""

import types
import warnings

import numpy as np
import pytest

from tests import conftest
from tools.checks import testing

pytestmark = pytest.mark.once
BACKENDS = ["tensorflow", "jax", "torch"]


@pytest.mark.parametrize("module", ["keras_vae", "keras_vae.models.vae", "tools.demo"])
@pytest.mark.parametrize("category", [UserWarning, DeprecationWarning, RuntimeWarning])
def test_warnings_of_our_modules_are_errors(module, category):
    with pytest.raises(category, match="planted"):
        warnings.warn_explicit("planted", category, "file.py", 1, module=module)


@pytest.mark.filterwarnings("ignore:elsewhere")
def test_warnings_of_other_modules_are_none():
    warnings.warn_explicit("elsewhere", UserWarning, "file.py", 1, module="keras.src.trainers")


def item(name, *markers, case=None):
    found = types.SimpleNamespace(name=name)
    if case:
        found.callspec = types.SimpleNamespace(id=case)
    found.get_closest_marker = lambda marker: marker in markers or None
    return found


def chosen(items, backend, monkeypatch, backends=BACKENDS):
    """Those that the process of a backend runs."""
    monkeypatch.setenv(testing.TURNS, " ".join(backends))
    monkeypatch.setattr(conftest.keras.backend, "backend", lambda: backend)
    hook = types.SimpleNamespace(pytest_deselected=lambda items: None)
    found = list(items)
    conftest.pytest_collection_modifyitems(types.SimpleNamespace(hook=hook), found)
    return found


def test_each_turn_is_one_backend_s_and_all_else_runs_everywhere(monkeypatch):
    cases = [item(f"test_a[{i}]", "turns", case=str(i)) for i in range(600)]
    others = [item("test_b"), item("test_c", "turns", "once"), item("test_d", "once")]
    runs = [chosen(cases + others, backend, monkeypatch) for backend in BACKENDS]
    for case in cases:
        assert sum(case in run for run in runs) == 1
    assert all(set(map(id, others)) <= set(map(id, run)) for run in runs)
    # A twelfth, a twelfth and ten twelfths; in the quick tier ten sixteenths.
    counts = [sum(case in run for case in cases) for run in runs]
    np.testing.assert_allclose(counts, [50, 50, 500], rtol=0.2)
    quick = chosen(cases, "torch", monkeypatch, testing.QUICK_TURNS)
    np.testing.assert_allclose(len(quick), 375, rtol=0.1)
    # All tests of one case are the turn of one backend.
    twin = item("test_other[7]", "turns", case="7")
    assert [twin in chosen([twin], b, monkeypatch) for b in BACKENDS] == [
        cases[7] in run for run in runs
    ]


def test_alone_or_outside_of_a_run_a_backend_runs_them_all(monkeypatch):
    cases = [item(f"test_a[{i}]", "turns", case=str(i)) for i in range(9)]
    assert chosen(cases, "jax", monkeypatch, ["jax"]) == cases
    assert chosen(cases, "jax", monkeypatch, []) == cases


def selected(jobs, *markers):
    """The jobs in which a test with these markers runs."""
    names = {name: name in markers for name in ("once", "slow", "defaults")}
    return sorted(job.backend for job in jobs if eval(job.marked, {}, names))


def test_every_test_is_in_the_processes_it_belongs_to():
    jobs = testing.jobs(BACKENDS, "all")
    for slow in ((), ("slow",)):
        assert selected(jobs, *slow) == sorted(BACKENDS)
        assert selected(jobs, "once", *slow) == ["torch"]
        assert selected(jobs, "defaults", *slow) == sorted(BACKENDS)
    assert testing.jobs(BACKENDS, "changed") == jobs


def test_the_quick_tier_is_one_backend_and_nothing_slow():
    jobs = testing.jobs(BACKENDS, "quick")
    assert selected(jobs) == selected(jobs, "once") == ["torch"]
    for markers in (("slow",), ("once", "slow"), ("defaults",)):
        assert selected(jobs, *markers) == []


def test_the_process_of_the_defaults_switches_nothing_off(monkeypatch):
    for name in testing.QUICK["jax"]:
        monkeypatch.delenv(name, raising=False)
    jobs = testing.jobs(BACKENDS, "all")
    for job in jobs:
        settings = testing._settings(job, jobs, "cache", BACKENDS)
        off = set(testing.QUICK["jax"]) & set(settings)
        assert bool(off) == (job.backend == "jax" and job.name != testing.DEFAULTS)
        assert (settings.get(testing.SWITCH) == "1") == (job.name == testing.DEFAULTS)
        assert settings["KERAS_BACKEND"] == job.backend
        assert set(settings[testing.TURNS].split()) == set(BACKENDS)
