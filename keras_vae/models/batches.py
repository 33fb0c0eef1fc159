"""Inference by compiled functions of a batch, which all of a model's methods share."""

import functools

import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae.models.probes import squared_jacobian


class Batches:
    """Methods of `Inference` that run one compiled function on all rows of arrays."""

    def _function(self, name):
        """One compiled function per model, kept until it changes; never part of what is saved."""
        version = self.python_state
        functions = self.__dict__.get("_compiled_functions")
        if functions is None or functions[0] != version:
            functions = self.__dict__["_compiled_functions"] = version, {}
        if name not in functions[1]:
            function = functools.partial(self._tensor_function(name), self)
            functions[1][name] = self.compile_function(function)
        return functions[1][name]

    def _tensor_function(self, name):
        return _FUNCTIONS[name]

    def _batched(self, name, batch_size, *arrays):
        n = len(arrays[0])
        # Few rows are padded to a power of two, so that few shapes are compiled.
        size = min(_checks.count(batch_size, "batch_size"), 1 << (n - 1).bit_length())
        parts = [
            self._padded(name, size, [a if a is None else a[i : i + size] for a in arrays])
            for i in range(0, n, size)
        ]
        if isinstance(parts[0], tuple):
            return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))
        return np.concatenate(parts)

    def _begun(self, name, size, parts, noise=None):
        parts = [_pad(part, size) for part in parts if part is not None]
        if noise is not None:
            parts.insert(0, noise)
        results = self._function(name)(*parts)
        self.accept_python_state()
        return results

    def _padded(self, name, size, parts):
        results = self._begun(name, size, parts)
        found = taken(results, len(parts[0]))
        return found if isinstance(results, (tuple, list)) else found[0]


def _infer(model, x, condition=None):
    return tuple(model.infer(x, condition))


def _center(model, x, condition=None):
    return model.posterior_layer.distribution(*model.infer(x, condition)).center


def _render(model, z, condition=None):
    return model.likelihood.mean(model.generate(z, condition))


def _outputs(model, z, condition=None):
    return ops.cast(model.generate(z, condition), "float32")


def _rebuild(model, x, condition=None):
    return model.call(x if condition is None else (x, condition))


def _score(model, noise, x, condition=None):
    evidence = model.evidence(x, condition, noise=noise)
    return ops.logsumexp(evidence.log_weights, axis=0)


def _explain(model, x, z, condition=None):
    outputs = ops.expand_dims(model.generate(z, condition), 0)
    return model.likelihood.log_prob(x, outputs)[0]


def _likelihood_row(model, *arrays):
    return model.likelihood.row(*arrays)


def _contract(model, x, condition=None):
    return squared_jacobian(model, x, condition)


def _flow_step(model, *arrays):
    return model.prior.step(*arrays)


_FUNCTIONS = {
    "contract": _contract,
    "infer": _infer,
    "center": _center,
    "render": _render,
    "outputs": _outputs,
    "rebuild": _rebuild,
    "score": _score,
    "explain": _explain,
    "likelihood_row": _likelihood_row,
    "flow_step": _flow_step,
}


def taken(results, n):
    """The first n rows of each result, NumPy, in a tuple."""
    several = results if isinstance(results, (tuple, list)) else (results,)
    return tuple(ops.convert_to_numpy(result)[:n] for result in several)


def _pad(array, size):
    missing = size - len(array)
    if not missing:
        # A copy, as the other is: PyTorch would share its memory, which may be read-only.
        return array.copy()
    return np.pad(array, ((0, missing),) + ((0, 0),) * (array.ndim - 1), mode="edge")
