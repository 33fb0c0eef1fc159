"""PyTorch: autograd, eager."""

import keras
import torch


class TrainStep:
    """See `keras_vae.training`."""

    def train_step(self, data):
        return self.update(*keras.utils.unpack_x_y_sample_weight(data))

    def compile_chunk(self):
        """A function of `(resident, rows, whole)` that gives logs.

        It takes `whole` steps on `batch_size` rows each and one on the rest, if any; the
        logs are arrays with a number a step.
        """
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

        def run(resident, rows, whole):
            logs = []
            for batch in torch.split(rows, resident.batch_size):
                logs.append(self.train_step(tuple(a[batch] for a in resident.arrays)))
            return ({k: torch.stack([log[k] for log in logs]).cpu().numpy() for k in logs[0]},)

        return run

    def why_no_chunks(self):
        if self.jit_compile:
            return "the model is compiled with `jit_compile`"

    def steps_at_once(self):
        return 50

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
