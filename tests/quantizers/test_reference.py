"""Codes, vectors, gradients and losses against vector-quantize-pytorch."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import quantizers
from keras_vae.quantizers import lookup_free
from tests.support import array
from tests.support.autodiff import gradient

pytestmark = pytest.mark.turns


@pytest.fixture(scope="module")
def reference():
    import vector_quantize_pytorch

    return vector_quantize_pytorch


@pytest.fixture(scope="module")
def torch(reference):
    import torch

    return torch


@pytest.fixture
def features(rng):
    return rng.normal(size=(6, 9, 5)).astype("float32")


def numpy(tensor):
    """A copy: JAX would share the memory of a codebook that training changes."""
    return tensor.detach().cpu().numpy().copy()


def agree(quantizer, features, vectors, codes, atol=1e-6):
    """Codes exactly; vectors of training, of the codes, and of codes in the layout of a map."""
    found = quantizer.discretize(features)
    q = quantizer.codes_per_position
    expected = numpy(codes).reshape(len(features), -1)
    assert array(found.codes).shape == (len(features), features.shape[1] * q)
    np.testing.assert_array_equal(array(found.codes), expected)
    np.testing.assert_array_equal(array(quantizer(features)), expected)
    np.testing.assert_allclose(array(found.vectors), numpy(vectors), atol=atol)
    np.testing.assert_allclose(array(quantizer.lookup(found.codes)), numpy(vectors), atol=atol)
    return found


# Odd and even numbers of levels, several and one, on every backend; others in turn.
@pytest.mark.parametrize(
    "levels",
    [
        (8, 5, 5, 5),
        (7,),
        (8, 6, 5),
        (3, 4),
    ],
)
def test_finite_scalars(reference, torch, rng, levels):
    """Odd and even numbers of levels; far out, where tanh ends."""
    z = (3 * rng.normal(size=(16, 25, len(levels)))).astype("float32")
    theirs = reference.FSQ(list(levels))
    agree(quantizers.FiniteScalar(levels), z, *theirs(torch.tensor(z)))
    weights = rng.normal(size=z.shape).astype("float32")
    tensor = torch.tensor(z, requires_grad=True)
    (slope,) = torch.autograd.grad((theirs(tensor)[0] * torch.tensor(weights)).sum(), tensor)

    def loss(z):
        vectors = quantizers.FiniteScalar(levels).discretize(z).vectors
        return ops.sum(vectors * ops.convert_to_tensor(weights))

    ours = gradient(loss, z)
    np.testing.assert_allclose(ours, numpy(slope), atol=1e-5)


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("temperature, size", [(1.0, 1.0), (0.01, 0.3)])
def test_bits_and_their_entropy(reference, torch, rng, spherical, temperature, size):
    z = (size * rng.normal(size=(8, 25, 4))).astype("float32")
    theirs = reference.LFQ(dim=4, spherical=spherical, entropy_loss_weight=0.2, diversity_gamma=1.3)
    quantizer = quantizers.LookupFree(4, spherical, 0.2, 1.3, temperature)
    vectors, codes, loss = theirs.train()(torch.tensor(z), inv_temperature=1 / temperature)
    found = agree(quantizer, z, vectors, codes)
    # Theirs is a mean over positions, ours their sum.
    assert array(found.codebook_loss).mean() / 25 == pytest.approx(float(loss), abs=1e-5)


def test_the_entropy_of_many_bits_is_an_upper_bound(rng, monkeypatch):
    """So that the loss, of which it is subtracted, is a lower one."""
    z = (0.3 * rng.normal(size=(50, 1, 6))).astype("float32")
    quantizer = quantizers.LookupFree(6, temperature=1.0)
    expected = array(quantizer.discretize(z).codebook_loss).mean()
    monkeypatch.setattr(lookup_free, "EXACT_BITS", 2)
    found = array(quantizer.discretize(z).codebook_loss).mean()
    assert expected - 0.05 < found < expected


@pytest.mark.parametrize("cosine", [False, True])
def test_nearest_vectors(reference, torch, features, cosine):
    theirs = reference.VectorQuantize(5, 12, use_cosine_sim=cosine).eval()
    ours = quantizers.VectorQuantizer(12, 5, distance="cosine" if cosine else "euclidean")
    ours.vectors.assign(numpy(theirs.codebook))
    agree(ours, features, *theirs(torch.tensor(features))[:2])
    # The commitment is that of what is compared: of unit vectors.
    *_, loss = theirs.train()(torch.tensor(features))
    commitment = array(ours.discretize(features).commitment_loss).mean() / (9 * 5)
    assert commitment == pytest.approx(float(loss.detach()), rel=1e-5)


def test_fewer_dimensions(reference, torch, features):
    theirs = reference.VectorQuantize(5, 12, codebook_dim=2).eval()
    ours = quantizers.Projected(quantizers.VectorQuantizer(12, 2), 5)
    ours.quantizer.vectors.assign(numpy(theirs.codebook))
    down = next(m for m in theirs.project_in.modules() if hasattr(m, "weight"))
    for layer, name in ((down, "down"), (theirs.project_out, "up")):
        getattr(ours, f"{name}_kernel").assign(numpy(layer.weight).T)
        getattr(ours, f"{name}_bias").assign(numpy(layer.bias))
    agree(ours, features, *theirs(torch.tensor(features))[:2])


@pytest.mark.parametrize("shared", [False, True])
def test_heads(reference, torch, rng, shared):
    features = rng.normal(size=(6, 9, 6)).astype("float32")
    theirs = reference.VectorQuantize(
        6, 12, codebook_dim=2, heads=3, separate_codebook_per_head=not shared
    ).eval()
    ours = quantizers.Heads(quantizers.VectorQuantizer(12, 2), 3, shared)
    books = numpy(theirs.codebook)
    for part, book in zip(ours.parts, books[None] if shared else books):
        part.vectors.assign(book)
    agree(ours, features, *theirs(torch.tensor(features))[:2])


def test_a_frozen_codebook_behind_a_linear_map(reference, torch, features):
    theirs = reference.SimVQ(5, 12, rotation_trick=False, frozen_codebook_dim=3)
    ours = quantizers.SimVQ(12, 5, 3)
    ours.frozen.assign(numpy(theirs.frozen_codebook) * np.sqrt(3))
    ours.kernel.assign(numpy(theirs.code_transform.weight).T)
    vectors, codes, loss = theirs(torch.tensor(features))
    found = agree(ours, features, vectors, codes)
    # Theirs is a mean over positions and dimensions, ours their sum.
    assert array(found.loss(0.25)).mean() / (9 * 5) == pytest.approx(float(loss), rel=1e-5)


class TestResidual:
    def pair(self, reference, **options):
        theirs = reference.ResidualVQ(
            dim=5, num_quantizers=4, codebook_size=12, rotation_trick=False, **options
        )
        ours = quantizers.Residual(quantizers.VectorQuantizer(12, 5), 4, dropout=1.0)
        for part, book in zip(ours.parts, numpy(theirs.codebooks)):
            part.vectors.assign(book)
        return theirs, ours

    def test_all_stages(self, reference, torch, features):
        theirs, ours = self.pair(reference)
        agree(ours, features, *theirs.eval()(torch.tensor(features))[:2])

    @pytest.mark.parametrize("seed", range(3))
    def test_dropped_stages(self, reference, torch, features, seed, monkeypatch):
        theirs, ours = self.pair(reference, quantize_dropout=True, ema_update=False)
        vectors, codes, losses = theirs.train()(
            torch.tensor(features), rand_quantize_dropout_fixed_seed=seed
        )
        kept = int((numpy(codes)[0, 0] >= 0).sum())
        monkeypatch.setattr(
            ours, "_stages_kept", lambda *_: ops.full((len(features),), float(kept))
        )
        found = ours.discretize(features, training=True)
        expected = numpy(codes)[..., :kept]
        np.testing.assert_array_equal(array(found.codes).reshape(6, 9, 4)[..., :kept], expected)
        np.testing.assert_allclose(array(found.vectors), numpy(vectors), atol=1e-6)
        decoded = ours.lookup(found.codes, stages=kept)
        np.testing.assert_allclose(array(decoded), numpy(vectors), atol=1e-6)
        commitment = array(found.commitment_loss).mean() / (9 * 5)
        assert commitment == pytest.approx(float(losses.sum()), rel=1e-4)


def test_the_rotation_trick(reference, torch, rng, features):
    from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to

    vectors, weights = rng.normal(size=(2, *features.shape)).astype("float32")
    z = torch.tensor(features, requires_grad=True)
    rotated = rotate_to(z, torch.tensor(vectors))
    (slope,) = torch.autograd.grad((rotated * torch.tensor(weights)).sum(), z)
    found = quantizers.rotate(ops.convert_to_tensor(features), ops.convert_to_tensor(vectors))
    np.testing.assert_allclose(array(found), vectors, atol=1e-6)

    def loss(z):
        rotated = quantizers.rotate(z, ops.convert_to_tensor(vectors))
        return ops.sum(rotated * ops.convert_to_tensor(weights))

    np.testing.assert_allclose(gradient(loss, features), numpy(slope), atol=1e-5)


@pytest.mark.parametrize("cosine", [False, True])
def test_kmeans_of_the_first_batch(reference, torch, features, cosine):
    from vector_quantize_pytorch.vector_quantize_pytorch import kmeans

    distance = "cosine" if cosine else "euclidean"
    ours = quantizers.VectorQuantizer(12, 5, start="kmeans", seed=3, distance=distance)
    rows = features.reshape(-1, 5)
    if cosine:
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    chosen = (ours._places * len(rows)).astype(int)
    means, bins = kmeans(
        torch.tensor(rows)[None], 12, 10, cosine, sample_fn=lambda rows, _: rows[:, chosen]
    )
    seed = keras.random.SeedGenerator(0)
    ours.adapt(ours.discretize(features).record, seed)
    np.testing.assert_allclose(array(ours.vectors), numpy(means)[0], atol=1e-6)
    np.testing.assert_allclose(array(ours.counts) / (1 - ours.decay), numpy(bins)[0], rtol=1e-4)
    # Later batches move them as ever.
    before = array(ours.vectors)
    ours.adapt(ours.discretize(features + 1.0).record, seed)
    assert 0.0 < np.abs(array(ours.vectors) - before).max()
    assert float(array(ours.started)) == 1.0
