"""PyTorch: autograd, eager."""

import keras
import torch


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
