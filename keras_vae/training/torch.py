"""PyTorch: autograd, eager."""

import keras
import torch
from torch import distributed


def _average(gradients):
    """Means over the processes, each of which trains on its own part of the data."""
    for gradient in gradients:
        if gradient is not None:
            distributed.all_reduce(gradient)
            gradient /= distributed.get_world_size()


class TrainStep:
    """See `keras_vae.training`."""

    def train_step(self, data):
        return self.update(*keras.utils.unpack_x_y_sample_weight(data))

    def test_step(self, data):
        return self.assess(*keras.utils.unpack_x_y_sample_weight(data))

    def minimize(self, fn, optimizer, variables):
        loss, aux = fn()
        gradients = torch.autograd.grad(
            optimizer.scale_loss(loss),
            [v.value for v in variables],
            allow_unused=True,
        )
        if distributed.is_available() and distributed.is_initialized():
            _average(gradients)
        with torch.no_grad():
            optimizer.apply(gradients, variables)
        return loss, aux

    def vector_jacobian(self, fn, x, vectors):
        # Outside training there is no second derivative to be had, nor its memory wanted.
        second = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (product,) = torch.autograd.grad(fn(x), x, vectors, create_graph=second)
        return product

    def compile_function(self, fn):
        def call(*arrays):
            with torch.no_grad():
                return fn(*map(keras.ops.convert_to_tensor, arrays))

        return call
