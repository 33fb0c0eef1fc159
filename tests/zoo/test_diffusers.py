"""Models of diffusers' configurations and weights, compared with diffusers itself."""

import importlib.util
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import models, testing, zoo
from keras_vae.zoo import diffusers as mapping
from tests.support import ROOT, make_images

torch = pytest.importorskip("torch")
# Imported where it is compared with: that takes seconds.
if importlib.util.find_spec("diffusers") is None:
    pytest.skip("needs diffusers", allow_module_level=True)
KL = {
    "block_out_channels": (8, 16),
    "norm_num_groups": 4,
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "latent_channels": 4,
}
ATTENDED = {
    "layers_per_block": 1,
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
}
TINY = {
    "encoder_block_out_channels": (8, 8, 8),
    "decoder_block_out_channels": (8, 8, 8),
    "num_encoder_blocks": (1, 2, 1),
    "num_decoder_blocks": (1, 2, 1),
}
KINDS = {
    "kl": KL,
    "kl without convolutions around the code": {
        **KL,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "shift_factor": 0.1,
    },
    "kl without attention": {**KL, "act_fn": "mish", "mid_block_add_attention": False},
    "kl with attention in the stages": {
        **KL,
        **ATTENDED,
        "latents_mean": [0.1, 0.2, 0.3, 0.4],
        "latents_std": [2.0, 1.0, 0.5, 3.0],
    },
}
CODES = {
    "vq": {**KL, **ATTENDED, "num_vq_embeddings": 17},
    "vq of another width": {**KL, "num_vq_embeddings": 17, "vq_embed_dim": 6},
    "vq that modulates": {
        **KL,
        "block_out_channels": (32, 64),
        "norm_num_groups": 32,
        "num_vq_embeddings": 17,
        "norm_type": "spatial",
    },
}
# Beside the prepared data sets, or where those would lie.
DATA = Path(os.environ.get("TFDS_DATA_DIR") or ROOT.parent / "shared" / "data" / "tfds")
FOLDER = DATA.parent / "hub" / "taef2"
needs_taef2 = pytest.mark.skipif(
    not FOLDER.is_dir() or importlib.util.find_spec("safetensors") is None,
    reason="needs the files of taef2",
)


def by_turns(kinds, everywhere):
    """All kinds; those that have no layer which others lack take turns."""
    turns = pytest.mark.turns
    return [kind if kind in everywhere else pytest.param(kind, marks=turns) for kind in kinds]


def theirs(name, **config):
    """A small model of diffusers with random weights, the same at every call."""
    import diffusers

    model = getattr(diffusers, name)(**config)
    state = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=state))
        if name == "VQModel":
            # So that many codes are used.
            model.quantize.embedding.weight.mul_(5)
    return model.eval().requires_grad_(False)


def weights(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def config(model):
    return {**model.config, "_class_name": type(model).__name__}


def ours(model):
    return mapping.build(config(model), weights(model), "there")


def signed(x):
    """Pictures as diffusers takes them."""
    return torch.tensor(2 * x.transpose(0, 3, 1, 2) - 1)


def last(tensor):
    return tensor.numpy().transpose(0, 2, 3, 1)


def pictures(tensor):
    return last(tensor) / 2 + 0.5


def close(found, expected, tolerance=1e-5):
    gap = np.abs(found - expected).max() / np.abs(expected).max()
    assert found.shape == expected.shape and gap < tolerance, gap


@pytest.fixture
def x(rng):
    return rng.random((2, 12, 16, 3), dtype="float32")


@pytest.mark.parametrize("kind", by_turns(KINDS, {"kl"}))
def test_kl_encodes_decodes_and_diverges_as_diffusers(kind, x):
    their = theirs("AutoencoderKL", **KINDS[kind])
    our = ours(their)
    q, p = their.encode(signed(x)).latent_dist, our.posterior(x)
    close(p.mean, last(q.mean))
    close(p.log_var, last(q.logvar))
    close(p.kl(our.prior), q.kl().numpy())
    close(our.decode(last(q.mean)), pictures(their.decode(q.mean).sample))
    odd = x[:, :11, :13]
    close(our.encode(odd), last(their.encode(signed(odd)).latent_dist.mean))
    logs = our.evaluate(x, verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["kl_loss"], q.kl().mean(), rtol=1e-4)


@pytest.mark.parametrize("kind", by_turns(CODES, {"vq", "vq that modulates"}))
def test_vq_chooses_the_codes_of_diffusers(kind, x):
    their = theirs("VQModel", **CODES[kind])
    our = ours(their)
    h = their.encode(signed(x)).latents
    _, loss, (_, _, indices) = their.quantize(h)
    codes = our.encode(x)
    np.testing.assert_array_equal(codes.ravel(), indices.numpy())
    assert len(np.unique(codes)) > 3
    close(our.decode(codes), pictures(their.decode(h).sample))
    evidence = our.evidence(ops.convert_to_tensor(x))
    _, terms = our.objective(evidence)
    # Theirs is a mean, and weighs the codebook by a quarter of the commitment.
    total = ops.convert_to_numpy(terms["commitment_loss"]).sum()
    mean = total / (codes.size * our.latent_dim)
    np.testing.assert_allclose(1.25 * mean, float(loss), rtol=1e-5)


def test_tiny_is_that_of_diffusers(x):
    their = theirs("AutoencoderTiny", **TINY, act_fn="gelu")
    our = ours(their)
    z = their.encode(signed(x)).latents
    close(our.encode(x), last(z))
    close(our.decode(last(z)), pictures(their.decode(z).sample))
    odd = x[:, :11, :13]
    close(our.encode(odd), last(their.encode(signed(odd)).latents))


@pytest.mark.once
@pytest.mark.parametrize(
    "name, options",
    [("AutoencoderKL", kind) for kind in KINDS.values()]
    + [("VQModel", kind) for kind in CODES.values()]
    + [("AutoencoderTiny", TINY)],
)
def test_what_is_written_is_what_diffusers_loads(name, options):
    their = theirs(name, **options)
    our = ours(their)
    written = mapping.config_of(our)
    for key, value in written.items():
        if not key.startswith("_"):
            expected = their.config[key]
            assert value == (list(expected) if isinstance(expected, tuple) else expected), key
    again = type(their).from_config(written)
    again.load_state_dict({n: torch.tensor(t) for n, t in mapping.tensors_of(our).items()})
    for a, b in zip(their.state_dict().values(), again.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.once
def test_scaled_codes_are_those_of_pipelines(x):
    their = theirs("AutoencoderKL", **KINDS["kl without convolutions around the code"])
    our, z = ours(their), last(their.encode(signed(x)).latent_dist.mean)
    scaled = our.encode(x, scaled=True)
    np.testing.assert_allclose(scaled, (z - 0.1) * 0.18215, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(our.decode(scaled, scaled=True), our.decode(z), atol=1e-5)
    our = models.autoencoder_kl(**KINDS["kl with attention in the stages"], seed=0)
    z = our.encode(x)
    mean, std = np.float32([0.1, 0.2, 0.3, 0.4]), np.float32([2.0, 1.0, 0.5, 3.0])
    expected = (z - mean) * 0.18215 / std
    np.testing.assert_allclose(our.encode(x, scaled=True), expected, rtol=1e-5)


@pytest.mark.once
def test_older_names_and_shapes_of_attention():
    their = theirs("AutoencoderKL", **KL)
    old = {}
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for name, tensor in weights(their).items():
        for today, before in names.items():
            if f".{today}." in name:
                name = name.replace(today, before)
                tensor = tensor[..., None, None] if tensor.ndim == 2 else tensor
        old[name] = tensor.astype("float16")
    our = mapping.build(config(their), old, "there")
    for name, tensor in mapping.tensors_of(our).items():
        np.testing.assert_allclose(tensor, weights(their)[name], atol=2e-3)


def bad(**changes):
    return lambda config, tensors: config.update(changes)


def without(name):
    return lambda config, tensors: tensors.pop(name)


def replaced(name, tensor):
    return lambda config, tensors: tensors.update({name: tensor})


@pytest.mark.once
@pytest.mark.parametrize(
    "change, message",
    [
        (bad(_class_name="AutoencoderDC"), "AutoencoderKL, AutoencoderTiny, VQModel"),
        (bad(_class_name=["AutoencoderKL"]), "must be one of"),
        (bad(time_embedding=True), "time_embedding"),
        (bad(act_fn="tanh"), "act_fn"),
        (bad(block_out_channels=[8, 10**9]), "from 1 to 16384"),
        (bad(block_out_channels=[8, 1024]), "another shape"),
        (bad(block_out_channels=[8, 12]), "another shape"),
        (bad(block_out_channels="8"), "must list"),
        (bad(layers_per_block=3), "missing"),
        (bad(layers_per_block=10**9), "from 1 to 64"),
        (bad(layers_per_block=True), "from 1 to 64"),
        (bad(norm_num_groups=3), "divide"),
        (bad(scaling_factor=float("nan")), "finite"),
        (bad(latents_mean=[float("inf")] * 4, latents_std=[1.0] * 4), "finite"),
        (bad(down_block_types=["DownEncoderBlock2D", "Other"]), "down_block_types"),
        (bad(out_channels=4), "channels of its picture"),
        (bad(use_quant_conv="no"), "True or False"),
        (bad(use_quant_conv=False), "left over"),
        (bad(sample_size=[1, 2, 3]), "sample_size"),
        (without("encoder.conv_in.bias"), "missing: encoder.conv_in.bias"),
        (replaced("more", np.zeros(3)), "left over: more"),
        (replaced("encoder.conv_in.bias", np.zeros(9)), "another shape"),
        (replaced("encoder.conv_in.bias", np.zeros(8, "int8")), "floats"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    model = models.autoencoder_kl(**{**KL, "layers_per_block": 1}, seed=0)
    config, tensors = mapping.config_of(model), mapping.tensors_of(model)
    change(config, tensors)
    with pytest.raises(ValueError, match=message) as error:
        mapping.build(config, tensors, "folder/vae")
    assert "folder/vae" in str(error.value) or "Received" in str(error.value)


@pytest.mark.once
def test_a_configuration_that_lies_takes_no_memory():
    """The shapes are compared before anything is built."""
    model = models.autoencoder_kl(**KL, seed=0)
    config, tensors = mapping.config_of(model), mapping.tensors_of(model)

    class Watched(dict):
        """Tensors of which only the shape is asked for."""

        def __getitem__(self, name):
            shape = dict.__getitem__(self, name).shape
            return type("Shape", (), {"shape": shape})

    config["block_out_channels"] = [16376, 16384]
    with pytest.raises(ValueError, match="another shape"):
        mapping.build(config, Watched(tensors), "there")


@pytest.mark.once
def test_models_that_diffusers_has_no_class_for():
    vae = models.vae((8, 8, 1), 2, units=(8,))
    pooled = models.autoencoder_tiny(**TINY, pooled_blocks=True)
    changed = models.autoencoder_kl(**KL)
    changed.encoder = models.autoencoder_kl(**{**KL, "act_fn": "mish"}).encoder
    other = models.autoencoder_kl(**KL)
    other.decoder = models.autoencoder_kl(**{**KL, "layers_per_block": 1}).decoder
    for model in (vae, pooled, other):
        with pytest.raises(ValueError, match="diffusers has no class"):
            mapping.config_of(model)
        with pytest.raises(ValueError, match="diffusers has no class"):
            mapping.tensors_of(model)


@needs_taef2
def test_taef2_is_that_of_its_authors():
    model, golden = taef2()
    np.testing.assert_allclose(model.encode(golden["x"]), golden["z"], atol=1e-4)
    np.testing.assert_allclose(model.decode(golden["z"]), golden["y"], atol=1e-4)
    with pytest.raises(ValueError, match="pooled"):
        mapping.config_of(model)


def taef2():
    from safetensors.numpy import load_file

    parts = (load_file(FOLDER / f"{part}.safetensors") for part in ("encoder", "decoder"))
    with np.load(FOLDER / "golden.npz") as file:
        golden = dict(file)
    return mapping.build(*mapping.config_from_tensors(*parts), FOLDER), golden


@pytest.mark.once
def test_files_without_a_configuration_that_are_none():
    with pytest.raises(ValueError, match="not the weights of a tiny autoencoder"):
        mapping.config_from_tensors({"conv.weight": np.zeros((3, 3))}, {}, "there")


@pytest.mark.once
@pytest.mark.slow
@needs_taef2
def test_taef2_reconstructs_faces():
    try:
        from keras_vae import datasets

        faces = datasets.load("celeb_a_64", "validation", limit=256).x
    except Exception as error:
        pytest.skip(f"needs CelebA: {error}")
    model, _ = taef2()
    rebuilt = np.clip(model.reconstruct(faces), 0, 1)
    x = faces.astype("float64") / (255.0 if faces.dtype == "uint8" else 1.0)
    assert -10 * np.log10(np.mean((x - rebuilt) ** 2)) > 27.0


@pytest.mark.slow
@pytest.mark.turns
@pytest.mark.parametrize("kind", ["AutoencoderKL", "VQModel", "AutoencoderTiny"])
def test_a_loaded_model_learns_and_becomes_a_preset(kind, rng, tmp_path):
    options = {"AutoencoderKL": KL, "VQModel": CODES["vq"], "AutoencoderTiny": TINY}[kind]
    model = ours(theirs(kind, **options))
    x = make_images(rng, 8, (8, 8, 3))
    model.compile(keras.optimizers.Adam(1e-3))
    losses = model.fit(x, epochs=50, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.05 * abs(losses[0])
    zoo.save(model, tmp_path / "preset", golden=(x,))
    loaded = zoo.load(tmp_path / "preset")
    np.testing.assert_allclose(loaded.reconstruct(x), model.reconstruct(x), atol=1e-5)
    assert mapping.config_of(loaded) == mapping.config_of(model) or kind == "AutoencoderKL"
    assert "n×n×3" in str(zoo.info(tmp_path / "preset"))


@pytest.mark.turns
def test_checks_of_every_model():
    model = models.autoencoder_kl(units=(4, 8), norm_num_groups=2, latent_dim=2, seed=0)
    testing.check_model(model, checks=("codes", "reconstructions", "posterior", "samples"))
