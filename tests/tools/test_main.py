"""The command line."""

import json
import re

import pytest

from keras_vae import models, zoo
from tests.support.recipes import RECIPE
from tools import __main__ as cli

pytestmark = pytest.mark.once


class TestCommandLine:
    def test_list_and_info(self, capsys):
        assert cli.main(["list"]) == 0
        listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
        assert listed == zoo.list_models()
        for name in listed[:1]:
            assert cli.main(["info", name]) == 0
            assert zoo.info(name)["sha256"]["model.weights.h5"] in capsys.readouterr().out

    def test_an_unknown_name_is_an_error_and_not_a_traceback(self, capsys):
        assert cli.main(["info", "mnist_convv"]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.startswith("keras-vae info: No preset")

    @pytest.mark.parametrize(
        "words, match",
        [
            (["B", "--epochs", "3"], "of --quality.*Received: {'epochs': 3}"),
            (["--limit", "9"], "of --quality.*Received: {'limit': 9}"),
            (["A", "--quality", "mnist"], "leave networks, --here, --out and"),
            (["--example", "--device", "gpu"], "--out and --device out"),
        ],
    )
    def test_words_of_the_benchmark_that_do_not_fit(self, words, match, capsys):
        assert cli.main(["benchmark", *words]) == 2
        assert re.search(match, capsys.readouterr().err)

    def test_many_presets_are_trained_by_one_process(self, monkeypatch, capsys):
        for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "first")):
            monkeypatch.setenv(name, value)
        assert cli.main(["train", "--all"]) == 2
        assert "2 processes need the address" in (text := capsys.readouterr().err)
        assert "set MASTER_PORT, or unset" in text
        monkeypatch.setenv("MASTER_PORT", "1")
        assert cli.main(["train", "--all"]) == 2
        assert "Received: 2 processes by torchrun" in capsys.readouterr().err

    @pytest.mark.parametrize("command", ["sample", "reconstruct", "interpolate"])
    def test_pictures(self, command, tmp_path, capsys):
        preset = zoo.save(models.vae(latent_dim=2, units=(4,), seed=0), tmp_path / "p")
        (preset / "recipe.json").write_text(json.dumps(RECIPE))
        out = tmp_path / "picture.png"
        assert cli.main([command, str(preset), "--out", str(out), "--n", "4"]) == 0
        assert out.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert f"Wrote {out}" in capsys.readouterr().out

    def test_no_command_stands_without_its_function(self):
        from tools import commands

        actions = cli.parser()._subparsers._group_actions[0].choices
        assert all(callable(getattr(commands, n)) for n in actions if n not in ("test", "check"))
