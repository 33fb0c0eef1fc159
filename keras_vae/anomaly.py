"""Anomalies: how unusual examples are to a model, in the shape of PyOD and scikit-learn."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_vae import _checks
from keras_vae._types import Array, Floats
from keras_vae.models import sources
from keras_vae.models.checks import bound_exists
from keras_vae.models.vae import VAE

SCORES = ("bound", "reconstruction", "likelihood_ratio")
# Samples of z per example of the bounds.
_SAMPLES = 50
# Of the background model, Ren et al. 2019: which part of the values is another example's.
_MUTATED = 0.2


class Detector:
    """A detector of anomalies by a model that is trained on unlabelled data.

    PyOD's and scikit-learn's methods: `fit`, `decision_function` (the higher, the more
    abnormal) and `predict` (1 for an anomaly). Neither of the two is needed; with scikit-learn a
    detector works in pipelines and is cloned. `fit` trains a copy, so that the model which is
    given stays as it is, and a second `fit` begins anew.

    Scores, in nats:

    - "bound": -log p(x), by the importance-weighted bound of 50 samples.
    - "reconstruction": -log p(x|z) of the mean code z, for autoencoders too.
    - "likelihood_ratio": log q(x) - log p(x), q a second model of data in which a fifth of the
      values comes from other examples (Ren et al., "Likelihood Ratios for Out-of-Distribution
      Detection", 2019): what both find easy does not count. Where anomalies
      follow the correlations of the data and are only further out, it ranks them the wrong way
      round.

    Args:
        model: an unconditional `models.VAE`, compiled or not; or a function from the shape of
            one example, such as `(30,)`, to one.
        score: "bound", "reconstruction" or "likelihood_ratio".
        contamination: the part of the training data that counts as anomalies, above 0 and at
            most 0.5.
        epochs: of training; 0 takes the model as it is, trained before.
        batch_size: of training.
        seed: int, of the noise in scores and of the data of the second model. The order of
            batches is that of `keras.utils.set_random_seed`.

    Attributes:
        model_: the trained model.
        background_: the second model of "likelihood_ratio", else None.
        decision_scores_: scores of the training data `(n,)`.
        threshold_: the quantile 1 - `contamination` of these, above which `predict` gives 1.
        labels_: 0 and 1 of the training data `(n,)`.
        n_features_in_: the number of values of one example.
    """

    def __init__(
        self,
        model: VAE | Callable[[tuple[int, ...]], VAE],
        score: str = "bound",
        contamination: float = 0.1,
        epochs: int = 100,
        batch_size: int = 128,
        seed: int = 0,
    ) -> None:
        # scikit-learn: kept as they are, and checked by `fit`.
        self.model = model
        self.score = score
        self.contamination = contamination
        self.epochs = epochs
        self.batch_size = batch_size
        self.seed = seed

    def fit(self, X: Any, y: Any = None) -> "Detector":
        """Trains a copy of the model, scores the data and sets the threshold.

        Args:
            X: data `(n, ...)` as `VAE.fit` takes it, a table too; unlabelled.
            y: ignored.

        Returns:
            The detector itself.

        Raises:
            TypeError: `model` is no `models.VAE`, and gives none.
            ValueError: an argument that is out of range, a conditional model, a model without
                a bound on log p(x) where the score needs one, or data that the model refuses.
        """
        self._check()
        model = self._made(X)
        if self.score != "reconstruction":
            bound_exists(model)
        sources.adapt(model, X)
        x, _ = model._checked(X, None, "X")
        background = None
        if self.epochs:
            model = _copy(model)
        if self.score == "likelihood_ratio":
            background = _copy(model)
            mixed = _mutated(x, np.random.default_rng(self.seed), model.likelihood.blocks)
            background.fit(mixed, epochs=self.epochs, batch_size=self.batch_size, verbose=0)
        if self.epochs:
            model.fit(x, epochs=self.epochs, batch_size=self.batch_size, verbose=0)
        self.model_, self.background_ = model, background
        self.n_features_in_ = int(np.prod(x.shape[1:]))
        self.decision_scores_ = self._scores(x)
        self.threshold_ = float(np.quantile(self.decision_scores_, 1.0 - self.contamination))
        self.labels_ = self._labels(self.decision_scores_)
        return self

    def decision_function(self, X: Any) -> Floats:
        """Scores of data: the higher, the more abnormal.

        Args:
            X: data `(n, ...)`.

        Returns:
            `(n,)` float64, nats.

        Raises:
            ValueError: before `fit`, or data that the model refuses.
        """
        self._is_fitted()
        return self._scores(self.model_._checked(X, None, "X")[0])

    def predict(self, X: Any) -> Array:
        """1 for anomalies, whose score is above the threshold, 0 for others: `(n,)` int.

        Args and errors: see `decision_function`.
        """
        return self._labels(self.decision_function(X))

    def fit_predict(self, X: Any, y: Any = None) -> Array:
        """`fit`, then `labels_`."""
        return self.fit(X).labels_

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {name: getattr(self, name) for name in _parameters()}

    def set_params(self, **params: Any) -> "Detector":
        """Sets arguments of the constructor, for the next `fit`.

        Raises:
            ValueError: an unknown argument; nothing has changed then.
        """
        unknown = [name for name in params if name not in _parameters()]
        if unknown:
            raise ValueError(
                f"Parameters must be some of {', '.join(_parameters())}. "
                f"Received: {', '.join(unknown)}"
            )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        model = getattr(self.model, "name", self.model)
        rest = (f"{k}={v!r}" for k, v in self.get_params().items() if k != "model")
        return f"Detector({model}, {', '.join(rest)})"

    def __sklearn_clone__(self):
        # The model is not copied: only `fit` trains, and it trains a copy.
        return type(self)(**self.get_params())

    def __sklearn_is_fitted__(self):
        return hasattr(self, "threshold_")

    def __sklearn_tags__(self):
        from sklearn.utils import Tags, TargetTags

        tags = Tags(estimator_type="outlier_detector", target_tags=TargetTags(required=False))
        tags.input_tags.allow_nan = True
        tags.non_deterministic = True
        return tags

    def _check(self):
        if self.score not in SCORES:
            raise ValueError(f"`score` must be one of {SCORES}. Received: score={self.score!r}")
        if not 0.0 < self.contamination <= 0.5:
            raise ValueError(
                "`contamination` must be above 0 and at most 0.5. "
                f"Received: contamination={self.contamination!r}"
            )
        _checks.count(self.epochs, "epochs", least=0)
        _checks.count(self.batch_size, "batch_size")
        if self.score == "likelihood_ratio" and not self.epochs:
            raise ValueError(
                "The likelihood ratio needs a second model, which is trained: give `epochs` of at "
                "least 1, or another score. Received: epochs=0"
            )

    def _made(self, X):
        model = self.model
        if not isinstance(model, VAE) and callable(model):
            model = model(tuple(np.shape(X)[1:]))
        if not isinstance(model, VAE):
            raise TypeError(
                "`model` must be a `models.VAE`, or a function from the shape of one example to "
                f"one. Received: {type(model).__name__}"
            )
        if model.condition is not None:
            raise ValueError(
                "A detector sees no conditions: give an unconditional model. "
                f"Received: condition={type(model.condition).__name__}"
            )
        return model

    def _scores(self, x):
        if self.score == "reconstruction":
            log_px = self.model_.log_px(x, self.model_.encode(x))
            return -np.asarray(log_px, "float64")
        found = -self._bound(self.model_, x)
        return found if self.background_ is None else found + self._bound(self.background_, x)

    def _bound(self, model, x):
        return model.log_likelihood(x, _SAMPLES, seed=self.seed, verbose=False)

    def _labels(self, scores):
        return (scores > self.threshold_).astype("int64")

    def _is_fitted(self):
        if not self.__sklearn_is_fitted__():
            raise ValueError("This detector has no threshold yet: call `fit(X)` first.")


def _parameters():
    return tuple(name for name in inspect.signature(Detector.__init__).parameters if name != "self")


def _copy(model):
    """The same model with the same weights and the same way of training, to train by itself."""
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    if model.compiled:
        copy.compile_from_config(model.get_compile_config())
    return copy


def _mutated(x, rng, blocks):
    """Data in which a part of the values is that of another example.

    Args:
        blocks: how many values belong together, one after the other, such as the one-hot
            values of a category; None for each by itself.
    """
    flat = x.reshape(len(x), -1)
    widths = np.ones(flat.shape[1], int) if blocks is None else np.asarray(blocks)
    block = np.repeat(np.arange(len(widths)), widths)
    changed = rng.random((len(x), len(widths))) < _MUTATED
    others = rng.integers(0, len(x), (len(x), len(widths)))
    mixed = np.take_along_axis(flat, others[:, block], axis=0)
    return np.where(changed[:, block], mixed, flat).reshape(x.shape)
