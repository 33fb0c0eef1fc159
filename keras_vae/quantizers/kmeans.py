"""k-means of the first batch, inside a training step."""

from keras import ops

from keras_vae.quantizers import base

ITERATIONS = 10


def some_rows(rows, places, counted=None):
    """One row for each place, of those that count more than 0.

    Args:
        rows: `(n, d)`.
        places: `(k,)`, from 0 up to but not including 1: how far down.
        counted: `(n,)`, or None where all rows count.
    """
    if counted is None:
        number = ops.shape(rows)[0]
        index = ops.cast(places * ops.cast(number, "float32"), "int32")
        return ops.take(rows, ops.minimum(index, number - 1), axis=0)
    # The rows that count are 1, 2, ... in their own order; row i is the i-th of them.
    order = ops.cumsum(ops.cast(counted > 0.0, "int32"))
    index = ops.cast(places * ops.cast(order[-1], "float32"), "int32")
    index = ops.minimum(index, order[-1] - 1)
    return ops.take(rows, ops.searchsorted(order, index + 1), axis=0)


def kmeans(rows, places, counted, cosine=False, iterations=ITERATIONS):
    """Lloyd's iterations from some of the rows.

    Args:
        rows: `(n, d)`.
        places: NumPy `(k,)`, in [0, 1): which rows the means start at.
        counted: `(n,)`, weights of the rows.
        cosine: whether rows are unit vectors, and means shall be.
        iterations: how many.

    Returns:
        Means `(k, d)`, of which those without rows stay where they were; and the rows' weights
        `(k,)` of the last iteration.
    """
    number = len(places)
    weighted = rows * ops.expand_dims(counted, -1)

    def step(_, state):
        means, _ = state
        if cosine:
            chosen = base.most(ops.matmul(rows, ops.transpose(means)), training=True)
        else:
            chosen = base.nearest(rows, means, training=True)
        bins = ops.segment_sum(counted, chosen, num_segments=number)
        sums = ops.segment_sum(weighted, chosen, num_segments=number)
        share = ops.expand_dims(bins, -1)
        new = sums / ops.where(share > 0.0, share, 1.0)
        new = base.unit(new) if cosine else new
        return ops.where(share > 0.0, new, means), bins

    start = some_rows(rows, ops.convert_to_tensor(places), counted)
    return ops.fori_loop(0, iterations, step, (start, ops.zeros((number,))))
