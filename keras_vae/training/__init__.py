"""The only code that knows which backend runs.

`TrainStep` adds to a model what Keras has no common call for:

* `train_step`, `test_step`: adapters that call the model's `update` and `assess`, which are
  written once for all backends;
* `minimize(fn, optimizer, variables)`: one gradient step on `fn() -> (loss, aux)`, which
  returns `(loss, aux)`;
* `variable_scope()`: a context for variables that are created outside of Keras' `fit`: that of
  the strategy of TensorFlow that distributes the model;
* `vector_jacobian(fn, x, vectors)`: vᵀ ∂fn(x)/∂x, which can itself be differentiated;
* `compile_function(fn)`: a fast function of arrays for inference.

`weights_kept(model)` is a context in which an error destroys no weights: on JAX it gives the
arrays back that Keras has lent to a step.

`traced_anew(model, name)` is a context in which Keras makes a function of a step that has to be
traced again.

`chunks` trains on data that stays on the device, many steps a call:

* `compile_chunk(model, loop)`: a function `(resident, rows, whole, *state)` that returns
  `(logs, *state)`. It runs `train_step` on rows of the resident data, `whole` times on
  `batch_size` of them and once on the rest, if any. Each log is an array with one number per
  step. With `loop` the steps are one program on TensorFlow and JAX; on TensorFlow XLA compiles
  it once it has run for long enough. PyTorch replays steps where it can: see `torch_replay`;
* `rows_of_chunks(n, size, shuffle)`: arguments of Keras' `fit` that make it train on the
  numbers below n, `size` of them per batch;
* `why_no_chunks(model)`: what rules chunks out, or None;
* `on_accelerator()`: whether the backend computes on a GPU or TPU.

`noise` draws the noise of a step, `kernels` has what Keras is slow at, and `keras_private`
every private name of Keras that the package uses.
"""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_vae.training import tensorflow_chunks as chunks
    from keras_vae.training.tensorflow import TrainStep, traced_anew, weights_kept
elif keras.backend.backend() == "jax":
    from keras_vae.training import jax_chunks as chunks
    from keras_vae.training.jax import TrainStep
    from keras_vae.training.jax_state import traced_anew, weights_kept
elif keras.backend.backend() == "torch":
    from keras_vae.training import torch_chunks as chunks
    from keras_vae.training.torch import TrainStep, traced_anew, weights_kept
else:
    raise ImportError(
        "keras_vae trains on TensorFlow, JAX and PyTorch. Set the environment variable "
        "KERAS_BACKEND to 'tensorflow', 'jax' or 'torch' before Python starts. "
        f"Received: KERAS_BACKEND={keras.backend.backend()!r}"
    )

__all__ = ["TrainStep", "chunks", "traced_anew", "weights_kept"]
