"""What `fit`, `evaluate` and `predict` are given, checked before Keras sees it."""

import numpy as np

from keras_vae import _checks
from keras_vae.models import sources
from keras_vae.models.run import is_array


class Cleaning:
    """Methods of `Fitting` that give data as a step takes it, or an error that says what to do."""

    def _clean(self, x, y, sample_weight=None):
        if x is None:
            raise ValueError("`x` is missing: give data to train on. Received: x=None")
        x = sources.numbers(self, x)
        if isinstance(x, dict):
            if y is not None:
                raise ValueError(
                    "A dictionary has its own labels: leave `y` out. Received: y of type "
                    f"{type(y).__name__}"
                )
            x, y, _ = sources.unpacked(x)
        if not is_array(x):
            for name, value in (("y", y), ("sample_weight", sample_weight)):
                if value is not None:
                    raise ValueError(
                        f"Of a source of batches `{name}` is a part of each batch: leave it out. "
                        f"Received: {name} of type {type(value).__name__}"
                    )
            return sources.Batches(self, x), None, None
        return self._clean_parts(x, y, sample_weight)

    def _clean_parts(self, x, y, sample_weight, name="x"):
        y_name = "y" if name == "x" else f"y of {name}"
        _no_pair(self, y)
        paired = self._is_pair(y)
        check = _checks.noisy if paired else _checks.data
        clean = check(self, x, name)
        # Bytes stay bytes, a quarter of the memory: a step converts them to floats.
        x = x if isinstance(x, np.ndarray) and x.dtype == "uint8" else clean
        y = self._clean_target(x, y, y_name) if paired else self._clean_condition(y, len(x), y_name)
        if paired and y is None:
            # `fit(x, x)` is `fit(x)`.
            _checks.data(self, x, name)
        if sample_weight is not None:
            sample_weight = _checks.weights(sample_weight, len(x))
            # Keras silently drops the weights of data without y.
            y = np.zeros(len(x), "float32") if y is None else y
        return x, y, sample_weight

    def _is_pair(self, y):
        if self.condition is not None or y is None:
            return False
        y = y if hasattr(y, "shape") else np.asarray(_checks.array(y, "y"))
        return self._is_target(y)

    def _clean_target(self, x, y, name="y"):
        """y that the model shall give for x; None where it is x."""
        clean = _checks.data(self, y, name)
        if len(clean) != len(x):
            raise ValueError(
                f"`{name}` must hold one value for each example. Received: {len(clean)} for "
                f"{len(x)}"
            )
        if np.array_equal(x, clean, equal_nan=True):
            return None
        if not self.takes_pairs:
            raise ValueError(
                f"{type(self).__name__} has no meaning for pairs: its other latent variable "
                "depends on the data that is scored. Train `models.vae` or "
                "`models.denoising_autoencoder` on (x, y), or leave y out. "
                f"Received: y of shape {tuple(clean.shape)}"
            )
        return y if isinstance(y, np.ndarray) and y.dtype == "uint8" else clean

    def _clean_batch(self, parts, name):
        """One batch of a source, checked; as it is where that is good."""
        x, y, sample_weight = parts
        if getattr(x, "is_cuda", False) and name != "the first batch":
            # To look at it would stop the device at every step.
            return parts
        x = self.likelihood.encode(x, name)
        host = _checks.host(x, name)
        if y is not None and not hasattr(y, "shape"):
            y = _checks.array(y, "y")
        if self._is_target(y):
            self._clean_parts(x, y, None, name)
        else:
            _no_pair(self, y)
            if not _checks.seems_good(self, host):
                _checks.data(self, host, name)
            self._check_condition_of_batch(y, len(host), name)
        if sample_weight is not None:
            _checks.weights(sample_weight, len(host))
        return (x if hasattr(x, "dtype") else host), y, sample_weight

    def _check_condition_of_batch(self, y, n, name):
        try:
            clean = self._clean_condition(y, n)
        except (TypeError, ValueError) as error:
            raise type(error)(f"`y` of {name}: {error}") from None
        # `_clean_condition` repeats one condition for all examples; a step does not.
        repeated = (
            self.condition is not None and y is not None and clean.size != _checks.host(y, "y").size
        )
        if repeated:
            raise ValueError(
                f"`y` of {name} must have shape {clean.shape}. Received: shape {tuple(y.shape)}"
            )

    def _clean_input(self, x):
        """Data for `predict`: x, or `(x, condition)`."""
        if isinstance(x, (tuple, list)) and self.condition is not None:
            data = _checks.data(self, x[0])
            return data, _checks.condition(self, x[1], len(data))
        if is_array(x):
            x = _checks.data(self, x)
            _checks.condition(self, None, len(x))
        return x

    def _clean_condition(self, y, n, name="y"):
        if self.condition is not None:
            return _checks.condition(self, y, n, name=name)
        if y is not None:
            y = _checks.array(y, name)
            if len(y) != n:
                raise ValueError(
                    f"`{name}` must hold one value for each example. Received: {len(y)} for {n}"
                )
        return y

    def _clean_validation(self, validation_data):
        several = isinstance(validation_data, (tuple, list)) and (
            isinstance(validation_data, tuple)
            or (len(validation_data) > 0 and hasattr(validation_data[0], "shape"))
        )
        if not several:
            if not is_array(validation_data) and not isinstance(validation_data, dict):
                return sources.Batches(self, validation_data, "validation_data")
            clean = self._clean(validation_data, None)
            return clean[0] if clean[1] is None else clean
        if len(validation_data) > 3:
            raise ValueError(
                "`validation_data` must be x, (x, y) or (x, y, sample_weight). "
                f"Received: {len(validation_data)} parts"
            )
        return self._clean(*(*validation_data, None, None)[:3])

    def _clean_arrays(self, x, y, sample_weight, class_weight=None):
        if sources.is_source(x):
            raise TypeError(f"`x` must be one batch, an array. Received: {type(x).__name__}")
        x, y, sample_weight = self._clean(x, y, sample_weight)
        if class_weight is not None:
            sample_weight = _checks.class_weights(class_weight, y, sample_weight)
        return x, y, sample_weight


def _no_pair(model, y):
    """Refuses `fit(noisy, clean)` of a conditional model, where y can only be data."""
    if model.condition is None or not hasattr(y, "shape"):
        return
    shape = tuple(y.shape)[1:]
    of_data = _checks.fits(shape, model.data_shape)
    if of_data and shape not in ((1,), (model.condition.dim,)):
        raise ValueError(
            "y of a conditional model is its condition, so that it cannot be trained on pairs "
            "(noisy, clean): give `fit(x, condition)`, or train an unconditional model on pairs. "
            f"Received: y of shape {tuple(y.shape)}"
        )
