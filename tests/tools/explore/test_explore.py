"""`explore`: what the page is told of a model, and the command."""

import http.server
import json
import re
import socket
import threading
import urllib.request

import numpy as np
import pytest

from keras_vae import models, priors, zoo
from tests.support.explore import COLOURED, of_maps, with_attributes
from tools import __main__ as cli
from tools import explore
from tools.demo import digits
from tools.explore import app, describe

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns


def told(model, folder="nowhere", data="toys"):
    info = {
        "name": "small",
        "description": "A model.",
        "data": data,
        "input": {"shape": list(model.data_shape)},
    }
    return describe.about(model, info, folder)


class TestWhatThePageIsTold:
    def test_codes_are_draws_of_the_prior(self):
        about, data = told(models.vae((8, 8, 1), 3, "dense", units=(4,), seed=0))
        drawn = np.random.default_rng(0).standard_normal((describe.SAMPLES, 3), "float32")
        np.testing.assert_allclose([row["code"] for row in about["samples"]], drawn, atol=1e-6)
        assert about["starts"] == [] and not about["draws"] and about["kind"] == "continuous"
        assert about["latent"]["center"].tolist() == [0, 0, 0]
        assert about["latent"]["scale"].tolist() == [1, 1, 1]
        assert data.shape == (32, 8, 8, 1)

    def test_sliders_are_sorted_by_what_they_change(self):
        model = models.vae((8, 8, 1), 4, "dense", units=(4,), seed=0)
        about, _ = told(model)
        effect = np.zeros(4)
        for row in about["samples"][: describe.BASES]:
            for dim in range(4):
                ends = np.repeat(row["code"][None], 2, axis=0)
                ends[:, dim] = -2, 2
                low, high = model.decode(ends)
                effect[dim] += np.abs(high - low).sum()
        assert about["latent"]["order"].tolist() == np.argsort(-effect).tolist()
        assert len(set(effect.round(3))) == 4

    def test_ranges_are_those_of_the_prior(self):
        prior = priors.LinearNormal(2)
        prior.bias.assign([5.0, -1.0])
        prior.factor.assign([[2.0, 0.0], [0.5, 0.1]])
        model = models.vae((8, 8, 1), 2, "dense", units=(4,), seed=0)._with(prior=prior)
        latent = told(model)[0]["latent"]
        np.testing.assert_allclose(latent["center"], [5, -1], atol=0.15)
        np.testing.assert_allclose(latent["scale"], [2, np.hypot(0.5, 0.1)], rtol=0.05)

    def test_variables_of_classes_are_known(self):
        model = models.categorical_vae((8, 8, 1), 2, "dense", units=(4,), classes=3, seed=0)
        latent = told(model)[0]["latent"]
        assert latent["choices"] == [[0, 3], [3, 3]]
        part = priors.UniformCategorical(2, 3)
        assert describe._choices(priors.ProductPrior([priors.StandardNormal(4), part])) == [
            [4, 3],
            [7, 3],
        ]

    def test_a_model_of_digits_starts_from_real_ones(self):
        model = models.cvae(latent_dim=2, units=(4,), num_classes=10, seed=0)
        about, (x, y) = told(model, data=None)
        real, labels = digits()
        assert about["draws"] and [row["digit"] for row in about["starts"]] == list(range(10))
        for row in about["starts"]:
            first = np.flatnonzero(labels == row["condition"])[:1]
            code = model.encode(real[first], labels[first])[0]
            np.testing.assert_allclose(row["code"], code, atol=1e-5)
        np.testing.assert_array_equal(x, real[:64])
        np.testing.assert_array_equal(y, labels[:64])
        of_each = np.bincount([row["condition"] for row in about["samples"]])
        assert of_each.tolist() == [describe.SAMPLES // 10] * 10

    def test_attributes_are_sorted_by_what_they_change(self):
        model = with_attributes()
        about, (x, y) = told(model)
        assert about["conditional"] and about["condition"]["kind"] == "attributes"
        row, effect = about["samples"][0], []
        for i in range(12):
            ends = np.repeat(row["condition"][None], 2, axis=0)
            ends[:, i] = 0, 1
            low, high = model.decode(np.repeat(row["code"][None], 2, axis=0), ends)
            effect.append(np.abs(high - low).mean())
        assert about["condition"]["order"] == np.argsort(-np.array(effect)).tolist()
        assert x.shape == (32, *COLOURED) and y.shape == (32, 12)

    def test_maps_of_codes(self):
        options = {"num_codes": 5, "prior_channels": 2, "prior_depth": 1, "num_classes": 3}
        model = models.vq_vae((8, 8, 1), 3, units=(2, 2), seed=0, **options)
        about, _ = told(model)
        assert about["kind"] == "codes" and not about["conditional"] and about["latent"] is None
        assert about["codes"] == {"shape": (2, 2), "number": 5}
        codes = model.sample_codes(len(about["samples"]), np.arange(80) % 3, seed=0)
        np.testing.assert_array_equal([row["code"] for row in about["samples"]], codes)
        assert about["condition"]["names"] == ["0", "1", "2"]

    def test_maps_of_numbers_have_switches_and_no_sliders(self):
        model = models.cvae(
            (8, 8, 3), 2, network="conv", units=(2, 2), seed=0, condition_dim=3, maps=True
        )
        about, (x, y) = told(model)
        assert about["transport"] is None and told(of_maps())[0]["transport"] == 2.0
        assert about["map"] == (2, 2, 2) and about["latent"] is None and about["codes"] is None
        assert about["kind"] == "continuous" and about["conditional"]
        assert len(about["samples"]) == describe.MAPS
        codes = np.stack([row["code"] for row in about["samples"]])
        assert codes.shape == (describe.MAPS, 2, 2, 2)
        np.testing.assert_allclose(x, model.decode(codes[:32], y), atol=1e-6)
        model = models.autoencoder_kl(units=(4,), latent_dim=2, norm_num_groups=2, seed=0)
        with pytest.raises(ValueError, match="with_input_shape.*Received: codes of shape"):
            told(model)

    def test_it_is_json(self):
        about, _ = told(with_attributes())
        found = json.loads(describe.dump(about))
        assert found["shape"] == [8, 8, 3] and found["range"] == [0.0, 1.0]
        np.testing.assert_allclose(
            found["samples"][3]["code"], about["samples"][3]["code"], rtol=1e-5
        )

    def test_what_is_no_picture_is_refused(self):
        model = models.vae((5,), 2, "dense", units=(4,), likelihood="normal", seed=0)
        with pytest.raises(ValueError, match=r"The page shows pictures.*Received: \(5,\)"):
            told(model)

    def test_no_prior_and_no_data_is_refused(self):
        model = models.autoencoder((8, 8, 1), 2, "dense", units=(4,), seed=0)
        with pytest.raises(ValueError, match=r"fit_sampler\(x\).*Received: prior=NoPrior"):
            told(model)
        model = models.autoencoder(latent_dim=2, units=(4,), seed=0)
        about, _ = told(model, data="MNIST (LeCun)")
        assert about["samples"] == about["starts"]
        codes = np.stack([row["code"] for row in about["starts"]])
        np.testing.assert_allclose(about["latent"]["center"], codes.mean(0), atol=1e-5)


@pytest.mark.once
class TestCommand:
    @pytest.fixture
    def installed(self, tmp_path, monkeypatch):
        """As if LiteRT.js and ai-edge-litert were there."""
        monkeypatch.setattr(explore, "LITERTJS", tmp_path / "litertjs")
        for part in explore._PARTS:
            file = tmp_path / "litertjs" / part
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(part)
        spec = explore.importlib.util.find_spec("json")
        monkeypatch.setattr(explore.importlib.util, "find_spec", lambda name: spec)
        return tmp_path

    @pytest.fixture
    def preset(self, tmp_path):
        return zoo.save(with_attributes(), tmp_path / "preset")

    @pytest.fixture
    def conversion(self, monkeypatch):
        """Takes the conversion's place; a list of what it was asked for."""
        asked = []

        def tflite(name, path, **options):
            asked.append(options)
            path.write_bytes(b"model")

        monkeypatch.setattr(explore.export, "tflite", tflite)
        return asked

    def test_a_page_is_written_and_written_anew(self, installed, preset, conversion, capsys):
        out = installed / "page"
        for _ in range(2):
            assert cli.main(["explore", str(preset), "--out", str(out)]) == 0
        assert f"Wrote {out}" in capsys.readouterr().out
        own = {file.name for file in explore.PAGE.iterdir()}
        # WebAssembly is packed.
        parts = {f"litertjs/{part}".replace(".wasm", ".wasm.gz") for part in explore._PARTS}
        found = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
        made = {"model.tflite", "explore.json", app.MANIFEST, *app.ICONS}
        assert found == own | parts | made
        assert conversion[0]["signatures"] == ("decode",)
        assert json.loads((out / "explore.json").read_text())["name"] == "preset"

    def test_a_failure_leaves_the_old_page(
        self, installed, preset, conversion, monkeypatch, capsys
    ):
        out = installed / "page"
        cli.main(["explore", str(preset), "--out", str(out)])
        before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}

        def tflite(*args, **options):
            raise explore.export.ExportError("no such operator")

        monkeypatch.setattr(explore.export, "tflite", tflite)
        assert cli.main(["explore", str(preset), "--out", str(out)]) == 2
        assert "explore: no such operator" in capsys.readouterr().err
        assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
        assert {p.name for p in installed.iterdir()} == {"litertjs", "page", "preset"}

    def test_what_is_no_page_is_not_replaced(self, installed, preset, conversion, capsys):
        out = installed / "mine"
        out.mkdir()
        (out / "letter.txt").write_text("dear")
        assert cli.main(["explore", str(preset), "--out", str(out)]) == 2
        assert (
            f"no page of `explore`: give another path. Received: {out}" in capsys.readouterr().err
        )
        assert [p.name for p in out.iterdir()] == ["letter.txt"] and conversion == []

    def test_an_unknown_name(self, installed, capsys):
        assert cli.main(["explore", "mnist_3d", "--out", str(installed / "page")]) == 2
        assert "Did you mean 'mnist_2d'" in capsys.readouterr().err
        assert not (installed / "page").exists()

    def test_without_litertjs(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(explore, "LITERTJS", tmp_path / "node_modules" / "@litertjs")
        assert cli.main(["explore", "mnist_2d", "--out", str(tmp_path / "page")]) == 2
        said = capsys.readouterr().err
        assert f"npm install --prefix {tmp_path} @litertjs/core@" in said
        assert "Received: no such file" in said and not (tmp_path / "page").exists()

    def test_without_ai_edge_litert(self, installed, monkeypatch, capsys):
        monkeypatch.setattr(explore.importlib.util, "find_spec", lambda name: None)
        assert cli.main(["explore", "mnist_2d", "--out", str(installed / "page")]) == 2
        assert 'pip install "keras-vae[litert]"' in capsys.readouterr().err

    def test_a_port_that_is_taken(self, installed, preset, conversion, capsys):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            assert cli.main(["explore", str(preset), "--port", port]) == 2
        assert (
            f"give another --port, from 0 (any that is free) to 65535. Received: port={port}"
            in (capsys.readouterr().err)
        )
        assert cli.main(["explore", str(preset), "--port", "70000"]) == 2
        assert cli.main(["explore", str(preset), "--port", port, "--out", "x"]) == 2
        assert conversion == []

    def test_it_is_served_on_this_machine_until_ctrl_c(
        self, installed, preset, conversion, monkeypatch, capsys
    ):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        found = {}

        def visit(server, serve=http.server.ThreadingHTTPServer.serve_forever):
            def look():
                for name in ("", "main.js", "litertjs/core/wasm/litert_wasm_internal.wasm.gz"):
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}") as answer:
                        found[name] = answer.headers["Content-Type"], answer.read()

            visitor = threading.Thread(target=look)
            visitor.start()
            service = threading.Thread(target=serve, args=(server, 0.05), daemon=True)
            service.start()
            visitor.join()
            server.shutdown()
            raise KeyboardInterrupt

        monkeypatch.setattr(http.server.ThreadingHTTPServer, "serve_forever", visit)
        assert cli.main(["explore", str(preset), "--port", str(port)]) == 0
        assert f"http://127.0.0.1:{port}/" in capsys.readouterr().out
        assert found[""] == ("text/html", (explore.PAGE / "index.html").read_bytes())
        assert [kind for kind, _ in found.values()][1:] == ["text/javascript", "application/gzip"]
        with socket.socket() as again:
            assert again.connect_ex(("127.0.0.1", port)) != 0

    def test_the_page_says_the_same_in_both_languages(self):
        text = (explore.PAGE / "text.js").read_text(encoding="utf-8")
        english, spanish = re.search(
            r"en: \{(.*?)\n  \},\n  es: \{(.*?)\n  \},", text, re.S
        ).groups()
        keys, values = r"^    (\w+): ", r"\{(\w+)\}"
        assert re.findall(keys, english, re.M) == re.findall(keys, spanish, re.M)
        assert sorted(re.findall(values, english)) == sorted(re.findall(values, spanish))
        known = set(re.findall(keys, english, re.M))
        for file in explore.PAGE.iterdir():
            source = file.read_text(encoding="utf-8")
            used = re.findall(r'data-(?:text|label)="(\w+)"', source)
            used += re.findall(r'\b(?:say|label)\(\w+, "(\w+)"', source)
            used += re.findall(r'\bpanel\("(\w+)"', source)
            assert set(used) <= known
        for name in describe.datasets.CELEBA_ATTRIBUTES:
            assert re.search(rf'\b"?{name}"?: "', text), name
