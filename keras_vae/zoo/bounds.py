"""The budget of a model that a stranger's configuration builds, asked before memory is taken."""

import contextlib
import math
import threading
import time

import keras
import numpy as np

from keras_vae import _budget
from keras_vae.training import keras_private
from keras_vae.zoo import own

MOST_WEIGHTS = 20_000
# Calls of layers, along the nesting; symbolic ones, which take 1 to 5 ms each.
MOST_CALLS = 20_000
# Numbers that a layer is given for one example.
MOST_ACTIVATIONS = 2**28
# The same where PyTorch can follow a layer only by computing it, on 83 examples.
MOST_EAGER = 2**18
# Numbers that layers keep that are no weights.
MOST_KEPT = 2**24
# Steps of a recurrent layer that is unrolled.
MOST_UNROLLED = 512
# Multiplications of the QR decompositions of orthogonal weights: some seconds.
MOST_MULTIPLICATIONS = 2**35
SECONDS = 300
_LOCK = threading.RLock()


class Budget:
    """What a configuration has left.

    Args:
        numbers: of all weights.
        fill: whether weights get zeros at first, because those of a file follow.
        objects: classes of the caller's own by name, which are not limited.
    """

    def __init__(self, numbers, fill=False, objects=None):
        self.numbers, self.fill = numbers, fill
        self.own = tuple(kind for kind in (objects or {}).values() if isinstance(kind, type))
        self.left = numbers
        self.weights, self.calls, self.kept = MOST_WEIGHTS, MOST_CALLS, MOST_KEPT
        self.multiplications = MOST_MULTIPLICATIONS
        self.until = time.monotonic() + SECONDS
        # Numbers of the inputs of the layer that is being called.
        self.given = 0

    def spend(self, numbers, what):
        """Takes room for an array that is no weight."""
        self.kept -= numbers
        if self.kept < 0:
            raise _budget.Exhausted(
                f"The configuration needs {what} of {numbers:,} numbers, of at most {MOST_KEPT:,}"
            )

    def add(self, shape, initializer):
        """Takes room for a weight."""
        lengths = [int(length or 1) for length in ((shape,) if isinstance(shape, int) else shape)]
        self.left -= math.prod(lengths)
        self.weights -= 1
        if self.left < 0 or self.weights < 0:
            raise _budget.Exhausted(
                f"The configuration has weights of more than {self.numbers:,} numbers"
                if self.left < 0
                else f"The configuration has more than {MOST_WEIGHTS:,} weights"
            )
        orthogonal = initializer in ("orthogonal", "Orthogonal") or isinstance(
            initializer, keras.initializers.Orthogonal
        )
        if orthogonal and not self.fill and lengths:
            columns = lengths[-1]
            rows = math.prod(lengths[:-1])
            self.multiplications -= max(rows, columns) * min(rows, columns) ** 2
            if self.multiplications < 0:
                raise _budget.Exhausted(
                    f"The configuration has an orthogonal matrix of {rows:,} × {columns:,}"
                )

    def call(self, layer, arguments):
        """Takes a call of a layer; returns the numbers that it is given for one example."""
        self.calls -= 1
        if self.calls < 0:
            raise _budget.Exhausted(f"The configuration calls layers {MOST_CALLS:,} times")
        if time.monotonic() > self.until:
            raise _budget.Exhausted(f"The configuration takes more than {SECONDS} seconds")
        given = 0
        for tensor in keras.tree.flatten(arguments):
            shape = getattr(tensor, "shape", ())
            numbers = math.prod(int(n) for n in shape if n is not None)
            given = max(given, numbers)
            if getattr(layer, "unroll", False) and len(shape) > 2:
                if (shape[1] or 1) > MOST_UNROLLED:
                    raise _budget.Exhausted(f"A layer would be unrolled for {shape[1]:,} steps")
        if given > MOST_ACTIVATIONS:
            raise _budget.Exhausted(
                f"A layer would be given {given:,} numbers, of at most {MOST_ACTIVATIONS:,}"
            )
        return given

    def compute(self):
        """Whether a layer may be followed by computing it."""
        if self.given > MOST_EAGER:
            raise _budget.Exhausted(
                f"A layer can only be followed by computing it, on {self.given:,} numbers"
            )


def _exhausted(error):
    """The `Exhausted` behind an error, or None."""
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, _budget.Exhausted):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _filled(shape, dtype=None, **kwargs):
    """Zeros where weights follow: no random numbers, and no compilation for each shape."""
    import ml_dtypes  # noqa: F401  Registers bfloat16 with NumPy.

    return np.zeros(shape, keras.backend.standardize_dtype(dtype))


@contextlib.contextmanager
def budget(numbers, fill=False, objects=None):
    """Limits the memory and the time of what layers of this thread build within the block.

    Args:
        numbers: of all weights that are added.
        fill: whether weights get zeros, because those of a file follow.
        objects: dict of the caller's own classes, which are not limited.

    Raises:
        Exhausted: a limit is exceeded; the check precedes the allocation.
    """
    with _LOCK:
        found, thread = Budget(numbers, fill, objects), threading.get_ident()
        layer, normalization = keras.layers.Layer, keras.layers.Normalization
        add_weight, call, build = layer.add_weight, layer.__call__, normalization.build

        def limited(part):
            return threading.get_ident() == thread and not isinstance(part, found.own)

        def add_weight_(self, shape=None, initializer=None, *args, **kwargs):
            if limited(self):
                found.add(shape or (), initializer)
                if found.fill and not own.is_foreign(self):
                    initializer = _filled
            return add_weight(self, shape, initializer, *args, **kwargs)

        def call_(self, *args, **kwargs):
            if threading.get_ident() != thread:
                return call(self, *args, **kwargs)
            before = found.given
            found.given = found.call(self, (args, kwargs)) if limited(self) else 0
            try:
                return call(self, *args, **kwargs)
            finally:
                found.given = before

        def build_(self, input_shape):
            if limited(self) and input_shape is not None:
                known = math.prod(n for n in input_shape if isinstance(n, int))
                found.spend(4 * known, "a mean and a variance")
            return build(self, input_shape)

        layer.add_weight, layer.__call__, normalization.build = add_weight_, call_, build_
        try:
            with _budget.held(found), keras_private.computing_is_asked(found.compute):
                yield
        except Exception as error:
            # Keras turns errors of a part into its own, without the number.
            exhausted = _exhausted(error)
            if exhausted is None or exhausted is error:
                raise
            raise exhausted from error
        finally:
            layer.add_weight, layer.__call__, normalization.build = add_weight, call, build
