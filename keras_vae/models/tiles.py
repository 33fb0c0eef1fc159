"""Large pictures in overlapping tiles, whose results are blended."""

import numpy as np


def blended(function, size, tile, overlap, factor):
    """A function of tiles of a map, as one array `(n, h · factor, w · factor, ...)`.

    Args:
        function: from the ranges of rows and of columns to the array of that tile.
        size: `(h, w)` of the map.
        tile: side of a tile in positions; overlap: what neighbours share.
        factor: how much larger the result is.
    """
    places = [_places(side, tile, overlap) for side in size]
    if all(len(each) == 1 for each in places):
        return function(*(each[0] for each in places))
    total = weights = None
    for rows in places[0]:
        for columns in places[1]:
            part = function(rows, columns)
            if total is None:
                shape = [side * factor for side in size]
                total = np.zeros((part.shape[0], *shape, *part.shape[3:]), "float32")
                weights = np.zeros((*shape, *(1,) * (part.ndim - 3)), "float32")
            ramps = [
                _ramp(place, side, overlap, factor)
                for place, side in zip((rows, columns), size, strict=True)
            ]
            weight = np.multiply.outer(*ramps).reshape(part.shape[1:3] + (1,) * (part.ndim - 3))
            where = tuple(slice(a * factor, b * factor) for a, b in (rows, columns))
            total[:, *where] += weight * part
            weights[where] += weight
    total /= weights
    return total


def _places(size, tile, overlap):
    """Where tiles lie that cover a side: `(start, stop)`, all of the same length."""
    if size <= tile:
        return [(0, size)]
    starts = [*range(0, size - tile, tile - overlap), size - tile]
    return [(start, start + tile) for start in starts]


def _ramp(place, size, overlap, factor):
    """The weights of a tile along a side: they rise and fall linearly in the overlaps."""
    (start, stop), length = place, overlap * factor
    weights = np.ones((stop - start) * factor, "float32")
    rise = (np.arange(length, dtype="float32") + 0.5) / max(1, length)
    if start > 0 and length:
        weights[:length] *= rise
    if stop < size and length:
        weights[-length:] *= rise[::-1]
    return weights
