"""One tiny quantizer of each kind, for tests of them all."""

from keras_vae import quantizers

Vector = quantizers.VectorQuantizer
# By name: a function that makes it, so that no test sees another's codebook.
TINY = {
    "vector": lambda: Vector(16, 4, seed=1),
    "rotation": lambda: Vector(16, 4, seed=1, gradient="rotation"),
    "cosine": lambda: Vector(16, 4, seed=1, distance="cosine", start="kmeans"),
    "learned": lambda: Vector(16, 4, "gradient", revive_after=None, seed=1),
    "projected": lambda: quantizers.Projected(Vector(16, 3, seed=1), 5, seed=2),
    "sim_vq": lambda: quantizers.SimVQ(16, 4, 3, seed=1),
    "finite_scalar": lambda: quantizers.FiniteScalar([5, 4, 3]),
    "lookup_free": lambda: quantizers.LookupFree(4),
    "spherical": lambda: quantizers.LookupFree(4, spherical=True),
    "residual": lambda: quantizers.Residual(Vector(8, 4, seed=1), 2, dropout=0.5),
    "residual_kmeans": lambda: quantizers.Residual(
        Vector(8, 4, seed=1, start="kmeans"), 3, gradient="rotation"
    ),
    "heads": lambda: quantizers.Heads([Vector(8, 2, seed=1), quantizers.SimVQ(8, 3, seed=2)]),
    "shared_heads": lambda: quantizers.Heads(Vector(8, 2, seed=1), 2, shared=True),
    "nested": lambda: quantizers.Projected(
        quantizers.Residual(quantizers.Heads(Vector(8, 2, seed=1), 2), 2), 6, seed=3
    ),
}
