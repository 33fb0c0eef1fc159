"""PyTorch: autograd, eager."""

import contextlib

import keras
import torch
from torch import distributed
from torch.optim.adam import adam as native_adam

from keras_vae.training import adam, keras_private, torch_processes, torch_replay

# Nothing destroys a variable of PyTorch.
weights_kept = contextlib.nullcontext


@contextlib.contextmanager
def traced_anew(model, name):
    """Nothing to do: a new function is traced again here."""
    yield


class TrainStep:
    """See `keras_vae.training`."""

    variable_scope = staticmethod(contextlib.nullcontext)

    def train_step(self, data):
        return self.update(*keras.utils.unpack_x_y_sample_weight(data))

    def test_step(self, data):
        return self.assess(*keras.utils.unpack_x_y_sample_weight(data))

    def get_metrics_result(self):
        if not _several():
            return super().get_metrics_result()
        # Of the rows of all processes, so that all of them stop, or go on, at the same step.
        sums = torch_processes.sums([v.value for v in self.metrics_variables])
        with keras.StatelessScope(list(zip(self.metrics_variables, sums, strict=True))):
            return super().get_metrics_result()

    def minimize(self, fn, optimizer, variables):
        loss, aux = fn()
        gradients = torch.autograd.grad(
            optimizer.scale_loss(loss),
            [v.value for v in variables],
            allow_unused=True,
        )
        if _several():
            torch_processes.average(gradients)
        with torch.no_grad():
            if _is_plain_adam(optimizer, gradients, variables):
                _fused_adam(optimizer, gradients, variables)
            else:
                optimizer.apply(gradients, variables)
        return loss, aux

    def vector_jacobian(self, fn, x, vectors):
        # Outside training the second derivative is not needed, nor the memory it would take.
        second = torch.is_grad_enabled()
        with torch.enable_grad():
            if not (second and x.requires_grad):
                x = x.detach().requires_grad_()
            (product,) = torch.autograd.grad(fn(x), x, vectors, create_graph=second)
        return product

    def compile_function(self, fn):
        recorded = {}

        def step(arrays):
            outputs = fn(*arrays)
            several = isinstance(outputs, (tuple, list))
            return dict(enumerate(outputs)) if several else {"alone": outputs}

        def call(*arrays):
            arrays = tuple(map(keras.ops.convert_to_tensor, arrays))
            # A recording holds for arrays with the same layout in memory only.
            kind = tuple((a.shape, a.stride(), a.dtype, a.device) for a in arrays)
            with torch.no_grad():
                if not getattr(self, "records_calls", True):
                    return fn(*arrays)
                outputs = recorded.setdefault(kind, torch_replay.Recorded(step, False))(arrays)
            return outputs["alone"] if "alone" in outputs else tuple(outputs.values())

        return call


def _several():
    """Whether there are several processes, which `keras_vae.distribution` or the user began."""
    return distributed.is_available() and distributed.is_initialized()


def _is_plain_adam(optimizer, gradients, variables):
    """Whether PyTorch's own Adam does the same; with any option more Keras' Adam runs."""
    return (
        adam.is_plain(optimizer, variables)
        and all(g is not None for g in gradients)
        and all(v.value.is_contiguous() for v in variables)
    )


def _fused_adam(optimizer, gradients, variables):
    """Keras' Adam in one pass over its slots, where Keras makes eight, which allocate."""
    first, second = keras_private.adam_moments(optimizer, variables)
    step = optimizer.iterations.value + 1
    one, two = (1 - torch.pow(beta, step) for beta in (optimizer.beta_1, optimizer.beta_2))
    native_adam(
        [v.value for v in variables],
        # The kernel pairs numbers by their place in memory; those of a convolution's gradient
        # are in another order.
        [g.contiguous() for g in gradients],
        [v.value for v in first],
        [v.value for v in second],
        [],
        # Step 1e9 turns PyTorch's own bias correction off: it is already in `lr`, and epsilon
        # must be added where Keras adds it.
        [torch.full((), 1e9, device=step.device)] * len(variables),
        fused=True,
        amsgrad=False,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        lr=keras.ops.convert_to_tensor(optimizer.learning_rate) * torch.sqrt(two) / one,
        weight_decay=0.0,
        eps=optimizer.epsilon,
        maximize=False,
    )
    optimizer.iterations.assign_add(1)
