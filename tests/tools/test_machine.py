"""The names of the machine that figures were measured on."""

import os

import pytest

from tools import machine

pytestmark = pytest.mark.once

CPUINFO = (
    "processor\t: 0\nvendor_id\t: Some\nmodel name\t: Some(R) Kind 9R45 @ 2.1GHz\nflags\t: fpu\n"
)


def test_the_processor_has_its_own_name(tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    file.write_text(2 * CPUINFO)
    monkeypatch.setattr(machine, "_CPUINFO", file)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert machine.processor() == "Some(R) Kind 9R45 @ 2.1GHz"
    assert machine.hardware() == "Some(R) Kind 9R45 @ 2.1GHz, 4 CPU cores"
    assert machine.kind() == "some-r-kind-9r45-2-1ghz-4-cpu-cores"


def test_without_that_file_the_kind_of_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "arm64")
    assert machine.processor() == "arm64"
