"""What models of maps of any size are asked for, where that differs from `Inference`."""

import math

import numpy as np

from keras_vae import _checks
from keras_vae.models.inference import ROWS
from keras_vae.models.maps import OVERLAP, PIXELS, Maps


class SpatialInference(Maps):
    """Methods of `SpatialVAE` in front of `Inference`.

    `batch_size` is the most rows of a compiled call: of large pictures a call has fewer.
    """

    def encode(
        self, x, condition=None, batch_size=256, *, scaled=False, tile=None, overlap=OVERLAP
    ):
        """Codes: the means of the posterior, maps.

        Args:
            x: pictures `(n, height, width, channels)` of any size that the encoder takes.
            condition: labels `(n,)` or attributes `(n, c)` of a conditional model.
            batch_size: rows per compiled call, at most.
            scaled: whether codes are shifted and scaled as diffusion models take them:
                (z - shift_factor) · scaling_factor, or (z - latents_mean) / latents_std ·
                scaling_factor for each channel.
            tile: side in pixels of square tiles that are encoded one by one, so that memory
                does not grow with the picture; the overlaps are blended linearly. None for
                whole pictures. A tile has its own statistics in the normalisations, so that
                the result is near to that of the whole picture, not equal.
            overlap: share of a tile's side that the next tile covers too.

        Returns:
            `(n, h, w, d)` float32, the same at every call.

        Raises:
            ValueError: wrong shape, range or size of the pictures or tiles; a wrong condition;
                NaN; empty.
        """
        x, condition = self._checked(x, condition)
        z = self._code_tiles("center", x, condition, batch_size, tile, overlap)
        return self.scale(z) if scaled else z

    def decode(
        self, z, condition=None, batch_size=256, *, scaled=False, tile=None, overlap=OVERLAP
    ):
        """Means of p(x|z) in data space.

        Args:
            z: codes `(n, h, w, d)` of any size.
            condition: see `encode`.
            batch_size: rows per compiled call, at most.
            scaled: whether the codes are those that `encode(x, scaled=True)` gives.
            tile, overlap: see `encode`; `tile` is in pixels of the picture.

        Returns:
            `(n, height, width, channels)` float32.
        """
        z = _checks.codes(self, z)
        condition = _checks.condition(self, condition, len(z))
        z = self.unscale(z) if scaled else z
        return self._picture_tiles(z, condition, batch_size, tile, overlap)

    def scale(self, z):
        """Codes as diffusion models take them, NumPy in and out; see `encode`."""
        shift, factor = self._affine()
        return ((np.asarray(z, "float32") - shift) * factor).astype("float32")

    def unscale(self, z):
        """The reverse of `scale`."""
        shift, factor = self._affine()
        return (np.asarray(z, "float32") / factor + shift).astype("float32")

    def _affine(self):
        if self.latents_mean is not None:
            std = np.asarray(self.latents_std, "float32")
            return np.asarray(self.latents_mean, "float32"), np.float32(self.scaling_factor) / std
        return np.float32(self.shift_factor or 0.0), np.float32(self.scaling_factor)

    def reconstruct(self, x, condition=None, batch_size=256, *, tile=None, overlap=OVERLAP):
        """The code of x, decoded: `(n, height, width, channels)` float32, deterministic.

        Args and errors: see `encode`; height and width must be multiples of `factor`.
        """
        x, condition = self._rebuildable(x, condition)
        if tile is None:
            return self._batched("rebuild", batch_size, x, condition)
        z = self._code_tiles("center", x, condition, batch_size, tile, overlap)
        return self._picture_tiles(z, condition, batch_size, tile, overlap)

    def sample(
        self,
        n,
        condition=None,
        seed=None,
        batch_size=256,
        noise=False,
        *,
        map_shape=None,
        steps=None,
        guidance=1.0,
    ):
        """New data: maps from the prior, decoded to means. See `VAE.sample`.

        Autoencoders of diffusion models are trained with almost no weight on the KL: N(0, I)
        is far from their codes, and samples are textures. A diffusion model draws the codes,
        and `decode(z, scaled=True)` takes them.

        Args:
            map_shape: `(h, w)` of the codes, for a model of any size.
            steps, guidance: see `VAE.sample`.

        Returns:
            `(n, height, width, channels)` float32.
        """
        n = _checks.count(n)
        condition = _checks.condition(self, condition, n)
        if not self.can_sample:
            self.fit_sampler()
        rng = np.random.default_rng(_checks.seed(seed))
        own = self.code_shape[:2]
        if map_shape is not None and None not in own and tuple(map_shape) != own:
            raise ValueError(
                f"Codes of this model are maps of one size. Expected: map_shape={own}, or None. "
                f"Received: map_shape={map_shape!r}"
            )
        encoded = None if condition is None else self.condition.encode(condition)
        size = {} if map_shape is None or None not in own else {"map_shape": map_shape}
        z = self._drawn_codes(n, rng, encoded, steps, guidance, batch_size, **size)
        return self._decoded_or_drawn(z, condition, batch_size, rng if noise else None)

    def log_px(self, x, z, condition=None, batch_size=256):
        """log p(x|z) of each example with its own code: `(n,)` float32, nats."""
        x, condition = self._rebuildable(x, condition)
        z = _checks.codes(self, z)
        wanted = self._code_size(*x.shape[1:3])
        if z.shape[1:3] != wanted or len(z) != len(x):
            raise ValueError(
                f"`z` must hold a map of {wanted} positions for each of {len(x)} pictures. "
                f"Received: shape {z.shape}"
            )
        return self._batched("explain", batch_size, x, z, condition)

    def log_likelihood(
        self, x, samples=5000, condition=None, seed=0, batch_size=None, verbose="auto"
    ):
        """Importance-weighted lower bound on log p(x); see `VAE.log_likelihood`.

        The bound is loose for codes of many numbers.

        Args:
            batch_size: decoder rows per compiled call; by default as many as have 2^20 pixels.
        """
        x, condition = self._rebuildable(x, condition)
        if batch_size is None:
            batch_size = max(1, min(ROWS, PIXELS // math.prod(x.shape[1:3])))
        return super().log_likelihood(x, samples, condition, seed, batch_size, verbose)

    def _noise_shape(self, x):
        return (*self._code_size(*x.shape[1:3]), self.latent_dim)

    def edit(self, x, condition=None, batch_size=256, *, strength=1.0, keep="decoded", **changes):
        """x as it would be with other attributes; see `VAE.edit`.

        Height and width must be multiples of `factor`. The code of a large picture is edited
        tile by tile with `decode(encode(x, y, tile=512), y_new, tile=512)`.

        Raises:
            ValueError: an unconditional model, whose maps have no directions; what `VAE.edit`
                refuses.
        """
        if self.condition is None:
            self._refuse_changes(changes)
        x, condition = self._rebuildable(x, condition)
        return super().edit(x, condition, batch_size, strength=strength, keep=keep, **changes)

    def _refuse_changes(self, changes):
        raise ValueError(
            "Codes that are maps have no named attributes to edit: change some of `z = encode(x)` "
            "and `decode(z)`, or use `models.cvae`, whose codes are vectors. "
            f"Received: changes={sorted(changes)}"
        )

    def with_directions(self, *args, **kwargs):
        """Refused: see `edit`."""
        if self.condition is not None:
            return super().with_directions(*args, **kwargs)
        return self._refuse_changes(kwargs)

    def with_fitted_prior(self, *args, **kwargs):
        """Refused: see `fit_sampler`."""
        self.fit_sampler()

    def fit_sampler(self, x=None, kind=None, *args, **kwargs):
        """Gives a model of one size a prior by flow matching: `fit_sampler(x, "flow", y)`.

        See `VAE.fit_sampler`; the other kinds are refused, as the positions of a map depend on
        each other.
        """
        if kind == "flow" and None not in self.code_shape:
            return super().fit_sampler(x, kind, *args, **kwargs)
        given = "" if self.condition is None else ", y"
        raise ValueError(
            "There is no prior to sample from, and none of that kind: the positions of a map "
            "depend on each other, which a normal or a mixture does not know. With a fixed "
            f'`input_shape` use `fit_sampler(x, "flow"{given})`; of one of any size train a '
            f"diffusion model on `encode(x{given}, scaled=True)` and decode its samples by "
            f"`decode(z{given}, scaled=True)`. "
            f"Received: kind={kind!r}, {type(self).__name__} with codes "
            f"({_checks.listed(self.code_shape)})"
        )


class SpatialCodeInference(Maps):
    """Methods of `SpatialVQVAE` in front of `CodeInference`; see `SpatialInference`."""

    def encode(self, x, condition=None, batch_size=256, *, tile=None, overlap=OVERLAP):
        """Codes.

        Args: as `SpatialVAE.encode`. With `tile` the features are blended, then quantized.

        Returns:
            `(n, h, w)` int32, from 0 to `num_codes - 1`.
        """
        x, _ = self._checked(x, condition)
        if tile is None:
            self._code_size(*x.shape[1:3])
            return self._batched("infer", batch_size, x)[0]
        features = self._code_tiles("features", x, None, batch_size, tile, overlap)
        return self._batched("nearest", batch_size, features)

    def decode(self, z, condition=None, batch_size=256, *, tile=None, overlap=OVERLAP):
        """Means of p(x|z) in data space.

        Args:
            z: codes `(n, h, w)`, integers, of any size.
            condition: None.
            batch_size: rows per compiled call, at most.
            tile, overlap: see `SpatialVAE.decode`.

        Returns:
            `(n, height, width, channels)` float32.
        """
        z = _checks.code_map(self, z)
        self._check_given(condition, len(z))
        return self._picture_tiles(z, None, batch_size, tile, overlap)

    def reconstruct(self, x, condition=None, batch_size=256, *, tile=None, overlap=OVERLAP):
        """The codes of x, decoded: `(n, height, width, channels)` float32."""
        x, _ = self._rebuildable(x, condition)
        if tile is None:
            return self._batched("rebuild", batch_size, x)
        z = self.encode(x, batch_size=batch_size, tile=tile, overlap=overlap)
        return self._picture_tiles(z, None, batch_size, tile, overlap)

    def log_px(self, x, z, condition=None, batch_size=256):
        """log p(x|z) of each example with codes z: `(n,)` float32, nats."""
        x, _ = self._rebuildable(x, condition)
        return super().log_px(x, z, condition, batch_size)

    def log_likelihood(self, x, samples=1, condition=None, seed=0, batch_size=256, verbose="auto"):
        """Lower bound on log p(x); see `VQVAE.log_likelihood`."""
        x, _ = self._rebuildable(x, condition)
        return super().log_likelihood(x, samples, None, seed, batch_size, verbose)

    def _tensor_function(self, name):
        return _CODE_FUNCTIONS.get(name) or super()._tensor_function(name)


def _features(model, x):
    return model.encoder(x, training=False)


def _nearest(model, features):
    return model.quantizer(features)


_CODE_FUNCTIONS = {"features": _features, "nearest": _nearest}
