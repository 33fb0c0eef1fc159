"""Cards: heads that are valid YAML, and say only what the metadata knows."""

import pytest

from keras_vae import zoo
from keras_vae.zoo import card

pytestmark = pytest.mark.once

INFO = {"name": "x", "input": {"shape": [28, 28, 1]}, "condition": None}


@pytest.mark.parametrize(
    "value",
    [
        {"a": "b", "c": ["d", "e"], "f": {"g": 1, "h": [{"i": 1.5, "j": [{"k": "l"}]}, {"m": 2}]}},
        {"a": [1e-05, 1e300, -0.0, 3, True, False, "1e-05", "yes", "null", "", "- x", "a: b #c"]},
        {"a": 'quo"te', "b": "back\\slash", "c": "new\nline\ttab", "d": "\x1b[31m\u2028\x85é😀"},
    ],
)
def test_yaml(value):
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(card.to_yaml(value)) == value


@pytest.mark.parametrize(
    "licence, expected",
    [
        ("MIT", {"license": "mit"}),
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("Non-commercial", {"license": "other", "license_name": "see-the-card"}),
        (None, {}),
        (3, {}),
    ],
)
def test_licences(licence, expected):
    found = card.head({**INFO, "licence": licence})
    assert {k: v for k, v in found.items() if k.startswith("license")} == expected


@pytest.mark.parametrize(
    "info, expected",
    [
        ({"data": "MNIST (LeCun), CC"}, ["ylecun/mnist"]),
        ({"data": "Fashion-MNIST (Zalando)"}, ["zalando-datasets/fashion_mnist"]),
        ({"data": "MNIST-like things"}, None),
        ({"data": "CelebA (Liu et al. 2015)"}, None),
        ({"data": 3}, None),
        ({"datasets": ["me/mine"], "data": "MNIST"}, ["me/mine"]),
    ],
)
def test_data_sets(info, expected):
    assert card.head({**INFO, **info}).get("datasets") == expected


def test_tasks():
    def task(generates, **changed):
        return card.head({**INFO, **changed}, generates=generates).get("pipeline_tag")

    assert task(True) == "unconditional-image-generation"
    assert task(None) is task(False) is None
    assert task(True, condition="labels (10)") is task(True, input={"shape": [5]}) is None


def test_results_of_a_packaged_preset():
    huggingface_hub = pytest.importorskip("huggingface_hub")
    info = zoo.info("mnist_conv")
    text = card.with_head("# x\n", card.head(info, "me/digits", True))
    data = huggingface_hub.ModelCard(text).data
    assert data.model_name == "digits" and len(data.eval_results) == len(info["metrics"])
    first = data.eval_results[0]
    assert (first.metric_type, first.metric_name) == ("nll", "NLL (nats)")
    assert first.metric_value == info["metrics"][0]["value"]
    assert first.dataset_type == "ylecun/mnist" and first.task_type == data.pipeline_tag
    assert card.with_head(text, {"license": "mit"}) == text


def test_no_results_without_a_known_data_set():
    metrics = [{"title": "NLL", "value": 1.0}, {"title": "?", "value": 1.0}]
    assert "model-index" not in card.head({**INFO, "metrics": metrics})
    known = card.head({**INFO, "metrics": metrics, "data": "MNIST"})["model-index"]
    assert [m["type"] for m in known[0]["results"][0]["metrics"]] == ["nll"]
    nan = [{"title": "NLL", "value": float("nan")}]
    assert "model-index" not in card.head({**INFO, "metrics": nan, "data": "MNIST"})
