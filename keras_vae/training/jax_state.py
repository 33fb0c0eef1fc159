"""JAX: the state that Keras lends to a step, and how it comes back.

Keras takes the arrays out of the variables before the first step, and JAX deletes those that a
step is given.
"""

import contextlib
import functools
import threading

import jax

from keras_vae.training import keras_private, processes


@contextlib.contextmanager
def weights_kept(model):
    """Gives back the arrays that an error in a step would destroy.

    Keras takes them out of the variables before the first step.
    """
    optimizer = getattr(model, "optimizer", None)
    slots = optimizer.variables if optimizer else []
    # Models with a second optimizer list its slots under `non_trainable_variables`.
    variables = (
        *model.variables,
        *model.metrics_variables,
        *model.non_trainable_variables,
        *slots,
    )
    variables = {id(v): v for v in variables}.values()
    before = [(v, keras_private.array_of(v)) for v in variables]
    try:
        yield
    except BaseException:
        # The state after the last good step; where there was none, the state before the first.
        keras_private.end_jax_steps(model)
        for variable, array in before:
            if _is_gone(keras_private.array_of(variable)) and not _is_gone(array):
                keras_private.put_back(variable, array)
        raise


@contextlib.contextmanager
def traced_anew(model, name):
    """Has Keras compile a step that JAX takes for another than before, and so traces again.

    A bound method equals itself: what JAX has once traced of it, it keeps for ever.
    """
    model.__dict__[name] = functools.partial(getattr(type(model), name), model)
    try:
        yield
    finally:
        del model.__dict__[name]


def _is_gone(array):
    return array is None or array.is_deleted()


def kept(model, step):
    """A step `(state, ...) -> (logs, state)` whose result no exception can take along.

    JAX deletes the arrays of the state that the step is given. An exception that comes from
    outside (a notebook's stop button) would find them gone, and the new ones not yet held
    by anything. It is raised between two operations of Python: `extend` and `map` call the
    step and keep its result in one.
    """

    def call(*arguments):
        results = []
        try:
            results.extend(map(step, *((a,) for a in arguments)))
        finally:
            if results:
                keras_private.hand_over(model, results[0][1])
        if processes.several() and jax.default_backend() == "cpu":
            # Two programs at once would take the messages of one another: on CPUs JAX orders
            # them only where a process has several devices.
            jax.block_until_ready(results[0])
        return results[0]

    return call


def lend_back(model):
    """Before inference: puts the arrays back if a step has them, as in a callback.

    Raises:
        RuntimeError: the step is one of another thread.
    """
    if getattr(model, "_trained_by", None) not in (None, threading.get_ident()):
        raise RuntimeError(
            "Another thread trains this model, and JAX lends its weights to the steps: wait "
            "until its `fit` ends, or use a copy (`keras.models.clone_model` and `set_weights`)."
        )
    if keras_private.is_lent(model):
        model.jax_state_sync()
