"""Sizes, tiles and batches of models whose codes are maps."""

import math

import keras

from keras_vae import _checks
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
        pixels = decoder.output_shape[1] if height else _output_shape(decoder, shape)[1]
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
            found = _output_shape(network, (1, *size, network.inputs[0].shape[3]))[1:3]
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
        data = x[0] if isinstance(x, tuple) else x
        if hasattr(data, "shape"):
            self._check_rebuilt(data.shape)
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

    def _code_tiles(self, name, x, condition, batch_size, tile, overlap):
        """The result of a compiled function of pictures, tile by tile: one map of codes."""
        size = self._code_size(*x.shape[1:3])
        if tile is None:
            return self._batched(name, batch_size, x, condition)
        f = self.factor
        tile, overlap = self._tile(tile, overlap)

        def found(rows, columns):
            part = x
            for axis, (start, stop), end in zip((1, 2), (rows, columns), size, strict=True):
                last = x.shape[axis] if stop == end else stop * f
                part = part.take(range(start * f, last), axis=axis)
            return self._batched(name, batch_size, part, condition)

        return blended(found, size, tile, overlap, 1)

    def _picture_tiles(self, z, condition, batch_size, tile, overlap):
        """The pictures of codes, tile by tile; each tile has the condition of its picture."""
        self._picture_size(*z.shape[1:3])
        if tile is None:
            return self._batched("render", batch_size, z, condition)
        tile, overlap = self._tile(tile, overlap)

        def found(rows, columns):
            part = z[:, slice(*rows), slice(*columns)]
            return self._batched("render", batch_size, part, condition)

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


def like_inputs(network, inputs):
    """One object for each input of a network, in the structure that the network takes them in."""
    if len(network.inputs) == 1:
        return inputs[0]
    return keras.tree.pack_sequence_as(network.input, inputs)


def _output_shape(network, shape):
    """The shape of a network's outputs for a batch of that shape, and conditions of any kind."""
    shapes = [shape, *((shape[0], *i.shape[1:]) for i in network.inputs[1:])]
    return network.compute_output_shape(like_inputs(network, shapes))
