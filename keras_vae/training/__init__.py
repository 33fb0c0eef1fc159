"""The only code that knows which backend runs.

`TrainStep` gives a model what Keras lacks a common call for:

* `train_step`, `test_step`: adapters that call the model's `update` and
  `assess`, which are written once for all backends;
* `minimize(fn, optimizer, variables)`: one gradient step on
  `fn() -> (loss, aux)`, which returns `(loss, aux)`;
* `compile_function(fn)`: a fast function of arrays for inference;
* `compile_chunk(loop)`: a function `(resident, rows, whole, *state)` that gives
  `(logs, *state)`: `train_step` on the rows of the data that is on the device,
  `whole` times on `batch_size` of them and once on the rest, if any. The logs are
  arrays with a number a step. With `loop` the steps are one compiled program where
  the backend compiles, and on PyTorch they are replayed where they can be (see
  `torch_replay`), and on TensorFlow XLA compiles them once they have run for long enough;
  `why_no_chunks()` says what rules it out, or None;
* `rows_of_chunks(n, size, shuffle)`: arguments of Keras' `fit` that make it train on
  the numbers below n, `size` of them a batch;
* `vector_jacobian(fn, x, vectors)`: vᵀ ∂fn(x)/∂x, which can itself be differentiated;
* `fit` and `evaluate` on JAX also give back the weights that an error would destroy.

`random` draws the noise of a step, and `arrays` has what Keras is slow at.
"""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_vae.training.tensorflow import TrainStep
elif keras.backend.backend() == "jax":
    from keras_vae.training.jax import TrainStep
elif keras.backend.backend() == "torch":
    from keras_vae.training.torch import TrainStep
else:
    raise ImportError(
        "keras_vae trains on TensorFlow, JAX and PyTorch. Set the environment variable "
        "KERAS_BACKEND to 'tensorflow', 'jax' or 'torch' before Python starts. "
        f"Received: KERAS_BACKEND={keras.backend.backend()!r}"
    )

__all__ = ["TrainStep"]
