"""Sources of batches: data sets, loaders, generators; every batch is checked as arrays are.

A check costs a few microseconds: one look at the numbers of a batch, where it is made. Only a
batch that does not pass it is looked at again, for the error's words.
"""

import itertools

import keras
import numpy as np

from keras_vae import _checks
from keras_vae.likelihoods import tables
from keras_vae.models.run import is_array
from keras_vae.training import keras_private

# What TensorFlow Datasets calls data and labels.
DATA, LABELS = "image", "label"


def is_source(x):
    """Whether x is a source of batches."""
    if isinstance(x, (Batches, keras.utils.PyDataset)):
        return True
    no_source = isinstance(x, (dict, str, bytes)) or is_array(x)
    return hasattr(x, "__iter__") and not no_source


def unpacked(batch, name="x"):
    """A batch as `(x, y, sample_weight)`, of which the last ones may be None.

    A dictionary is one of TensorFlow Datasets: its "image" and "label", nothing else of it.

    Raises:
        TypeError: a dictionary with other keys.
        ValueError: too many parts.
    """
    if isinstance(batch, dict):
        if DATA not in batch:
            raise TypeError(
                f"`{name}` must be an array, or a dictionary with the key 'image' and, for a "
                "conditional model, 'label'. Of a data set with other keys give "
                "`data.map(lambda row: (row['a'], row['b']))`. "
                f"Received: a dictionary with the keys {sorted(map(str, batch))[:9]}"
            )
        return batch[DATA], batch.get(LABELS), None
    if not isinstance(batch, (tuple, list)):
        return batch, None, None
    if not 1 <= len(batch) <= 3:
        raise ValueError(
            "A batch must be x, (x, y) or (x, y, sample_weight). "
            f"Received: {len(batch)} parts in {name}"
        )
    return (*batch, None, None)[:3]


def numbers(model, x, name="x"):
    """A table as the numbers that the model's likelihood makes of it; other data as it is."""
    return x if is_source(x) or x is None else model.likelihood.encode(x, name)


def adapt(model, x):
    """Has the likelihood of tables learn its scales from the first one."""
    # A prior that is trained by itself has none.
    likelihood = getattr(model, "likelihood", None)
    if likelihood is not None and likelihood.tables and not likelihood.is_adapted and _is_table(x):
        likelihood.adapt(x)


def _is_table(x):
    return not is_source(x) and tables.is_table(x)


def as_given(model, x, result, keep=False):
    """A result as a table, where the data x was one.

    Args:
        keep: whether known values of x replace those of the result.
    """
    if not model.likelihood.tables or not _is_table(x):
        return result
    return model.likelihood.decode(result, x, keep)


class Batches(keras_private.DataAdapter):
    """A source whose batches are checked, as Keras' `fit` and `evaluate` take one.

    Args:
        model: what the batches are for; `model._clean_batch(batch, name)` checks one.
        source: a `tf.data.Dataset`, `PyDataset`, PyTorch `DataLoader`, generator or iterable.
        name: of the argument, for errors.

    Attributes:
        error: what a check, or the source itself, has raised; TensorFlow wraps it in errors of
            its own.

    Raises:
        TypeError, ValueError: no source, no batch, or a first batch that is no good.
    """

    def __init__(self, model, source, name="x"):
        self.model, self.source, self.name = model, source, name
        self.error, self.class_weight, self.shuffle = None, None, False
        self._inner = None
        first = self._first()
        self.first = self._parts(first, 0)

    def _first(self):
        source = self.source
        if isinstance(source, keras.utils.PyDataset):
            return source[0]
        if not is_source(source):
            raise TypeError(
                f"`{self.name}` must be an array, a tf.data.Dataset, a PyDataset, a PyTorch "
                f"DataLoader or a generator. Received: {type(source).__name__}"
            )
        batch = next(iter(source), None)
        if batch is None:
            kind = "generator" if hasattr(source, "__next__") else "data set"
            raise ValueError(f"`{self.name}` is a {kind} that gives no batch.")
        if hasattr(source, "__next__"):
            self.source = itertools.chain([batch], source)
        return batch

    def _parts(self, batch, number):
        """A checked batch: x, or `(x, y)`, or `(x, y, sample_weight)`, in a tuple."""
        name = "the first batch" if number == 0 else f"batch {number + 1}"
        name = name if self.name == "x" else f"{name} of {self.name}"
        x, y, sample_weight = self.model._clean_batch(unpacked(batch, name), name)
        if self.class_weight is not None:
            sample_weight = _checks.class_weights(self.class_weight, y, sample_weight, name)
        if sample_weight is not None:
            # Keras silently drops the weights of data without y.
            y = np.zeros(len(x), "float32") if y is None else y
            return x, y, sample_weight
        return (x,) if y is None else (x, y)

    def batches(self):
        """The checked batches of one pass, on the host."""
        try:
            for number, batch in enumerate(self._raw()):
                yield self._parts(batch, number)
        except (GeneratorExit, StopIteration):
            raise
        except BaseException as error:
            self.error = error
            raise

    def _raw(self):
        inner = self._adapter
        if inner is None or keras_private.is_loader(self.source):
            return iter(self.source)
        return keras_private.batches_of(inner)

    @property
    def _adapter(self):
        """Keras' own adapter of the source; None for generators and other iterables."""
        if self._inner is None and (
            isinstance(self.source, keras.utils.PyDataset)
            or keras_private.is_keras_source(self.source)
        ):
            ordered = not isinstance(self.source, keras.utils.PyDataset)
            self._inner = keras_private.adapter(self.source, False if ordered else self.shuffle)
        return self._inner

    def get_numpy_iterator(self):
        for batch in self.batches():
            yield tuple(None if part is None else _host(part) for part in batch)

    get_jax_iterator = get_numpy_iterator

    def get_torch_dataloader(self):
        import torch

        def tensor(part):
            if part is None or isinstance(part, torch.Tensor):
                return part
            return torch.from_numpy(np.require(part, requirements="CW"))

        return (tuple(map(tensor, batch)) for batch in self.batches())

    def get_tf_dataset(self):
        import tensorflow as tf

        if isinstance(self.source, tf.distribute.DistributedDataset):
            return self.source
        if isinstance(self.source, tf.data.Dataset):
            # Several replicas share a data set's graph, and a check in Python is not part of it.
            return self.source if tf.distribute.has_strategy() else self._checked_dataset()
        parts = [_host(part) for part in self.first]
        shapes = [(None, *part.shape[1:]) for part in parts]
        signature = tuple(
            tf.TensorSpec(shape, part.dtype) for shape, part in zip(shapes, parts, strict=True)
        )
        dataset = tf.data.Dataset.from_generator(
            self.get_numpy_iterator, output_signature=signature
        )
        if keras_private.reads_ahead(self._adapter):
            options = tf.data.Options()
            options.autotune.enabled = False
            options.threading.private_threadpool_size = 1
            return dataset.with_options(options)
        return dataset.prefetch(tf.data.AUTOTUNE)

    def _checked_dataset(self):
        """The data set with a check in its graph, which calls Python for bad batches only."""
        import tensorflow as tf

        def look(number, *parts):
            try:
                batch = self._parts(tuple(part.numpy() for part in parts), int(number))
            except BaseException as error:
                self.error = error
                raise
            return [tf.convert_to_tensor(part) for part in batch]

        def checked(number, batch):
            parts = [part for part in unpacked(batch) if part is not None]
            good = tf.constant(False)
            if self.class_weight is None:
                good = _seems_good(tf, self.model, parts)
            kinds = [tf.as_dtype(_host(part).dtype) for part in self.first]

            def again():
                return tf.py_function(look, [number, *parts], kinds)

            if len(kinds) == len(parts) and [part.dtype for part in parts] == kinds:
                found = tf.cond(good, lambda: list(parts), again)
            else:
                found = again()
            for part, first in zip(found, self.first, strict=True):
                part.set_shape((None, *_host(first).shape[1:]))
            return tuple(found)

        dataset = self.source.enumerate().map(checked)
        return dataset.prefetch(1)

    @property
    def num_batches(self):
        inner = self._adapter
        if inner is not None:
            return inner.num_batches
        known = hasattr(self.source, "__len__") and not hasattr(self.source, "__next__")
        return len(self.source) if known else None

    @property
    def batch_size(self):
        return None

    @property
    def has_partial_batch(self):
        return None

    @property
    def partial_batch_size(self):
        return None

    def on_epoch_begin(self):
        if self._adapter is not None:
            self._adapter.on_epoch_begin()

    def on_epoch_end(self):
        if self._adapter is not None:
            self._adapter.on_epoch_end()


def arrays(model, x, condition=None, name="x"):
    """`(x, condition)`, of which x may be a source: then all its examples, and their conditions.

    Labels of an unconditional model's source are ignored.

    Raises:
        TypeError, ValueError: what a source's checks raise; conditions in two places.
    """
    x = numbers(model, x, name)
    if isinstance(x, dict) and DATA in x:
        x, y, _ = unpacked(x)
    elif is_source(x):
        parts = list(Batches(model, x, name).batches())
        x = np.concatenate([_host(part[0]) for part in parts])
        y = np.concatenate([_host(part[1]) for part in parts]) if len(parts[0]) > 1 else None
    else:
        return x, condition
    if model.condition is None or y is None:
        return x, condition
    if condition is not None:
        raise ValueError(
            f"`{name}` brings its conditions: leave `condition` out. "
            f"Received: condition of type {type(condition).__name__}"
        )
    return x, y


def _host(part):
    if isinstance(part, np.ndarray):
        return part
    return _checks.host(part, "x")


def _seems_good(tf, model, parts):
    """In a graph: whether a batch will pass for sure; False where that is not known."""
    x = parts[0]
    conditional = model.condition is not None
    known = x.shape.rank is not None and x.shape[1:].is_fully_defined()
    if not known or tuple(x.shape[1:]) != model.data_shape or model.likelihood.missing:
        return tf.constant(False)
    if model.likelihood.counts:
        return tf.constant(False)
    if not x.dtype.is_floating or (conditional and len(parts) < 2):
        return tf.constant(False)
    rows = [tf.equal(tf.shape(part)[0], tf.shape(x)[0]) for part in parts[1:] if part.shape.rank]
    if len(rows) < len(parts) - 1:
        return tf.constant(False)
    limits = model.likelihood.data_range
    tests = [*rows, tf.size(x) > 0]
    y = parts[1] if len(parts) > 1 else None
    if y is not None and model._is_target(y):
        # Noise may take what the encoder sees out of the data's range.
        tests.append(tf.reduce_all(tf.math.is_finite(x)))
        x, y = y, None
    if limits is None:
        tests.append(tf.reduce_all(tf.math.is_finite(x)))
    elif limits[0] == 0.0 and x.dtype == tf.float32:
        # See `_checks.seems_good`.
        largest = np.float32(limits[1]).view("uint32")
        tests.append(tf.reduce_max(tf.bitcast(x, tf.uint32)) <= largest)
    else:
        tests.append(tf.reduce_all((x >= limits[0]) & (x <= limits[1])))
    if y is not None and conditional:
        tests.append(_good_condition(tf, model.condition, y))
    if len(parts) > 2:
        tests.append(tf.reduce_all(tf.math.is_finite(tf.cast(parts[2], "float32"))))
    return tf.reduce_all(tf.stack(tests))


def _good_condition(tf, condition, y):
    if not condition.are_labels:
        shaped = y.shape.rank == 2 and y.shape[1] == condition.dim and y.dtype.is_floating
        return tf.reduce_all(tf.math.is_finite(y)) if shaped else tf.constant(False)
    if y.shape.rank != 1 or not y.dtype.is_integer:
        return tf.constant(False)
    least = -1 if condition.optional else 0
    return tf.reduce_all((y >= least) & (y < condition.dim))
