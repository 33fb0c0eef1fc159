"""What models of maps of any size are asked for, where that differs from `Inference`."""

import math

import numpy as np

from keras_vae import _checks
from keras_vae.models.inference import ROWS
from keras_vae.models.tiles import blended

# Pixels of the data in one compiled call, at most, unless one picture has more.
PIXELS = 2**20
OVERLAP = 0.25


class Maps:
    """Sizes, tiles and batches of `SpatialVAE` and `SpatialVQVAE`, in front of their methods."""

    @property
    def records_calls(self) -> bool:
        # The results of all layers together are gigabytes for large pictures, whose arithmetic
        # takes much longer than what a recording saves.
        return False

    @property
    def factor(self) -> int:
        """Pixels of the data for each position of a code, along a side."""
        return self._factor(self.decoder)

    def _factor(self, decoder):
        height = decoder.inputs[0].shape[1]
        known = height or 64
        shape = (None, known, decoder.inputs[0].shape[2] or known, decoder.inputs[0].shape[3])
        pixels = decoder.output_shape[1] if height else decoder.compute_output_shape(shape)[1]
        return max(1, pixels // known)

    def _code_size(self, height, width):
        """`(h, w)` of the codes of pictures of that size.

        Raises:
            ValueError: the encoder takes no such pictures.
        """
        return self._size_after("encoder", (height, width), "pictures", "pixels")

    def _picture_size(self, height, width):
        """`(height, width)` of the pictures of maps of codes of that size."""
        return self._size_after("decoder", (height, width), "maps of codes", "positions")

    def _size_after(self, part, size, what, unit):
        network = getattr(self, part)
        # Of the network of now: another one may have been set.
        of, known = self.__dict__.get(f"_sizes_{part}", (None, {}))
        if of is not network:
            self.__dict__[f"_sizes_{part}"] = network, (known := {})
        if size in known:
            return known[size]
        own = tuple(network.inputs[0].shape[1:3])
        try:
            if not _checks.fits(size, own):
                raise ValueError("another size")
            found = network.compute_output_shape((1, *size, network.inputs[0].shape[3]))[1:3]
        except Exception as error:
            least = f"at least {self.factor} × {self.factor}" if part == "encoder" else "larger"
            taken = f"{own[0]} × {own[1]}" if None not in own else least
            raise ValueError(
                f"The {part} takes no {what} of {size[0]} × {size[1]} {unit}. Expected: {taken} "
                f"{unit}. Resize or pad them, or use networks that begin with "
                "`keras.Input((None, None, channels))`. "
                f"Received: height {size[0]}, width {size[1]}"
            ) from error
        return known.setdefault(size, tuple(found))

    def _check_rebuilt(self, shape, name="x"):
        """Refuses pictures whose reconstruction would have another size."""
        size = tuple(shape[1:3])
        rebuilt = self._picture_size(*self._code_size(*size))
        if rebuilt == size:
            return
        f = self.factor
        height, width = (max(f, side // f * f) for side in size)
        raise ValueError(
            f"`{name}` must have a height and a width that are multiples of {f}, so that a "
            f"reconstruction has the size of the data. Crop it, {_checks._code(name)}"
            f"[:, :{height}, :{width}], or pad it; `encode` and `decode` take other sizes. "
            f"Received: {size[0]} × {size[1]} pixels, which would become {rebuilt[0]} × "
            f"{rebuilt[1]}"
        )

    def _clean_parts(self, x, y, sample_weight, name="x"):
        found = super()._clean_parts(x, y, sample_weight, name)
        self._check_rebuilt(found[0].shape, name)
        if self._is_target(found[1]) and found[1].shape != found[0].shape:
            raise ValueError(
                "Pictures and what the model shall give for them must have the same size. "
                f"Received: {found[0].shape} and {found[1].shape}"
            )
        return found

    def _clean_batch(self, parts, name):
        found = super()._clean_batch(parts, name)
        self._check_rebuilt(found[0].shape, name)
        return found

    def _clean_input(self, x):
        x = super()._clean_input(x)
        if hasattr(x, "shape"):
            self._check_rebuilt(x.shape)
        return x

    def _is_target(self, y):
        if y is None or self.condition is not None or not hasattr(y, "shape"):
            return False
        if getattr(y.shape, "rank", 0) is None or len(y.shape) != 4:
            return False
        pairs = zip(y.shape[1:], self.data_shape, strict=True)
        return all(a == b or None in (a, b) for a, b in pairs)

    def _batched(self, name, batch_size, *arrays):
        # Large pictures: fewer in each call.
        side = self.factor if name in ("render", "code_log_prob") else 1
        pixels = math.prod(arrays[0].shape[1:3]) * side**2
        rows = max(1, PIXELS // pixels)
        return super()._batched(name, min(_checks.count(batch_size, "batch_size"), rows), *arrays)

    def _rebuildable(self, x, condition):
        """Checked data whose reconstruction has its size."""
        x, condition = self._checked(x, condition)
        self._check_rebuilt(x.shape)
        return x, condition

    def _code_tiles(self, name, x, batch_size, tile, overlap):
        """The result of a compiled function of pictures, tile by tile: one map of codes."""
        size = self._code_size(*x.shape[1:3])
        if tile is None:
            return self._batched(name, batch_size, x)
        f = self.factor
        tile, overlap = self._tile(tile, overlap)

        def found(rows, columns):
            part = x
            for axis, (start, stop), end in zip((1, 2), (rows, columns), size, strict=True):
                last = x.shape[axis] if stop == end else stop * f
                part = part.take(range(start * f, last), axis=axis)
            return self._batched(name, batch_size, part)

        return blended(found, size, tile, overlap, 1)

    def _picture_tiles(self, z, batch_size, tile, overlap):
        """The pictures of codes, tile by tile."""
        self._picture_size(*z.shape[1:3])
        if tile is None:
            return self._batched("render", batch_size, z)
        tile, overlap = self._tile(tile, overlap)

        def found(rows, columns):
            return self._batched("render", batch_size, z[:, slice(*rows), slice(*columns)])

        return blended(found, z.shape[1:3], tile, overlap, self.factor)

    def _tile(self, tile, overlap):
        """The side of a tile and its overlap, in positions of the code."""
        f = self.factor
        if not _checks.is_integer(tile, f) or tile % f:
            raise ValueError(
                f"`tile` must be a multiple of {f} pixels, such as {max(1, 256 // f) * f}. "
                f"Received: tile={tile!r}"
            )
        if not 0.0 <= overlap < 1.0:
            raise ValueError(
                "`overlap` must be the share of a tile's side that the next one covers too, from "
                f"0 up to but not including 1. Received: overlap={overlap!r}"
            )
        side = int(tile) // f
        return side, min(side - 1, round(side * overlap))

    def with_input_shape(self, input_shape):
        """The same model for pictures of one size, which shares all weights.

        Files for phones and servers need one: see `keras_vae.export`.

        Args:
            input_shape: `(height, width, channels)`.

        Returns:
            A model of the same class.

        Raises:
            ValueError: a size that the networks do not take, or whose reconstruction has
                another size.
        """
        shape = tuple(input_shape)
        if not _checks.fits(shape, self.data_shape) or not all(map(_checks.is_integer, shape)):
            raise ValueError(
                "`input_shape` must be (height, width, channels) as the model takes them, "
                f"({_checks.listed(self.data_shape)}). Received: input_shape={input_shape!r}"
            )
        self._check_rebuilt((1, *shape), "input_shape")
        return self._at_size(shape, self._code_size(*shape[:2]))


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
            condition: None.
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
            ValueError: wrong shape, range or size of the pictures or tiles; NaN; empty.
        """
        x, _ = self._checked(x, condition)
        z = self._code_tiles("center", x, batch_size, tile, overlap)
        return self.scale(z) if scaled else z

    def decode(
        self, z, condition=None, batch_size=256, *, scaled=False, tile=None, overlap=OVERLAP
    ):
        """Means of p(x|z) in data space.

        Args:
            z: codes `(n, h, w, d)` of any size.
            condition: None.
            batch_size: rows per compiled call, at most.
            scaled: whether the codes are those that `encode(x, scaled=True)` gives.
            tile, overlap: see `encode`; `tile` is in pixels of the picture.

        Returns:
            `(n, height, width, channels)` float32.
        """
        z = _checks.codes(self, z)
        _checks.condition(self, condition, len(z))
        z = self.unscale(z) if scaled else z
        return self._picture_tiles(z, batch_size, tile, overlap)

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
        x, _ = self._rebuildable(x, condition)
        if tile is None:
            return self._batched("rebuild", batch_size, x)
        z = self._code_tiles("center", x, batch_size, tile, overlap)
        return self._picture_tiles(z, batch_size, tile, overlap)

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
        _checks.condition(self, condition, n)
        if not self.can_sample:
            self.fit_sampler()
        rng = np.random.default_rng(_checks.seed(seed))
        own = self.code_shape[:2]
        if map_shape is not None and None not in own and tuple(map_shape) != own:
            raise ValueError(
                f"Codes of this model are maps of one size. Expected: map_shape={own}, or None. "
                f"Received: map_shape={map_shape!r}"
            )
        if map_shape is None or tuple(map_shape) == own:
            z = self._drawn_codes(n, rng, None, steps, guidance, batch_size)
        else:
            z = self.prior.sample(n, rng, None, map_shape=map_shape)
        x = self.decode(z, batch_size=batch_size)
        return self.likelihood.sample(x, rng) if noise else x

    def log_px(self, x, z, condition=None, batch_size=256):
        """log p(x|z) of each example with its own code: `(n,)` float32, nats."""
        x, _ = self._rebuildable(x, condition)
        z = _checks.codes(self, z)
        wanted = self._code_size(*x.shape[1:3])
        if z.shape[1:3] != wanted or len(z) != len(x):
            raise ValueError(
                f"`z` must hold a map of {wanted} positions for each of {len(x)} pictures. "
                f"Received: shape {z.shape}"
            )
        return self._batched("explain", batch_size, x, z)

    def log_likelihood(
        self, x, samples=5000, condition=None, seed=0, batch_size=None, verbose="auto"
    ):
        """Importance-weighted lower bound on log p(x); see `VAE.log_likelihood`.

        The bound is loose for codes of many numbers.

        Args:
            batch_size: decoder rows per compiled call; by default as many as have 2^20 pixels.
        """
        x, _ = self._rebuildable(x, condition)
        if batch_size is None:
            batch_size = max(1, min(ROWS, PIXELS // math.prod(x.shape[1:3])))
        return super().log_likelihood(x, samples, None, seed, batch_size, verbose)

    def _noise_shape(self, x):
        return (*self._code_size(*x.shape[1:3]), self.latent_dim)

    def edit(self, *args, **kwargs):
        """Refused: there are no named attributes."""
        raise ValueError(
            "Codes that are maps have no named attributes to edit: change some of `z = encode(x)` "
            "and `decode(z)`, or use `models.cvae`, whose codes are vectors. "
            f"Received: changes={sorted(kwargs)}"
        )

    def with_directions(self, *args, **kwargs):
        """Refused: see `edit`."""
        self.edit()

    def with_fitted_prior(self, *args, **kwargs):
        """Refused: see `fit_sampler`."""
        self.fit_sampler()

    def fit_sampler(self, x=None, kind=None, *args, **kwargs):
        """Gives a model of one size a prior by flow matching: `fit_sampler(x, "flow")`.

        See `VAE.fit_sampler`; the other kinds are refused, as the positions of a map depend on
        each other.
        """
        if kind == "flow" and None not in self.code_shape:
            return super().fit_sampler(x, kind, *args, **kwargs)
        raise ValueError(
            "There is no prior to sample from, and none of that kind: the positions of a map "
            "depend on each other, which a normal or a mixture does not know. With a fixed "
            '`input_shape` use `fit_sampler(x, "flow")`; of one of any size train a diffusion '
            "model on `encode(x, scaled=True)` and decode its samples by "
            "`decode(z, scaled=True)`. "
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
        features = self._code_tiles("features", x, batch_size, tile, overlap)
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
        return self._picture_tiles(z, batch_size, tile, overlap)

    def reconstruct(self, x, condition=None, batch_size=256, *, tile=None, overlap=OVERLAP):
        """The codes of x, decoded: `(n, height, width, channels)` float32."""
        x, _ = self._rebuildable(x, condition)
        if tile is None:
            return self._batched("rebuild", batch_size, x)
        z = self.encode(x, batch_size=batch_size, tile=tile, overlap=overlap)
        return self._picture_tiles(z, batch_size, tile, overlap)

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
