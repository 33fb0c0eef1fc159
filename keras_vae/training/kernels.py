"""Operations that each backend does faster by itself than through Keras."""

import contextlib

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
elif keras.backend.backend() == "jax":
    import functools

    import jax
    import jax.numpy as jnp
elif keras.backend.backend() == "torch":
    import torch
# So many calls of a decoder are faster as one; on the other backends the larger result is
# allocated each time, which costs more.
CALLS_IN_ONE = 2 if keras.backend.backend() == "jax" else 1


def has_conv_transpose():
    """Whether `conv_transpose` is faster than Keras' own here."""
    if keras.backend.backend() == "jax":
        return jax.default_backend() == "cpu"
    return keras.backend.backend() == "torch"


@contextlib.contextmanager
def denormals_flushed():
    """Numbers below 1e-38 are 0 on PyTorch's CPU, as TensorFlow and XLA have them.

    Adam's moments of a unit that no longer learns shrink that far, and stay there. A processor
    takes ten times as long for such a number: from the sixth epoch on a dense network took
    half as long again (tools/speed/README.md).
    """
    # There is no function that says whether they are flushed; this number is one of them.
    if keras.backend.backend() != "torch" or torch.full((), 1e-39, device="cpu") * 1.0 == 0.0:
        yield
        return
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def argmax(x):
    """The index of a row's largest number, the first of equal ones; int32, over the last axis.

    Keras' own also orders -0.0 before 0.0, which takes TensorFlow and JAX three times as long.
    PyTorch's `argmax` takes its CPU more than twice as long as `max`, which finds both.
    """
    if keras.backend.backend() == "tensorflow":
        return tf.argmax(x, axis=-1, output_type="int32")
    if keras.backend.backend() == "jax":
        return jnp.argmax(x, axis=-1).astype("int32")
    return torch.max(x, dim=-1).indices.to(torch.int32)


def cross_entropy(codes, logits):
    """-log softmax(logits) of integer codes, over the last axis, in nats.

    Keras' own moves the classes to axis 1 on PyTorch: the softmax then runs across the order of
    memory, and four copies of all logits are made.

    Args:
        codes: `(n, ...)` integers.
        logits: `(n, ..., k)`.

    Returns:
        `(n, ...)`.
    """
    if keras.backend.backend() != "torch":
        return keras.ops.sparse_categorical_crossentropy(codes, logits, from_logits=True)
    codes, logits = keras.ops.convert_to_tensor(codes), keras.ops.convert_to_tensor(logits)
    rows = logits.reshape(-1, logits.shape[-1])
    each = torch.nn.functional.cross_entropy(rows, codes.reshape(-1).long(), reduction="none")
    return each.reshape(codes.shape)


def softplus(x):
    """log(1 + eˣ). JAX's own, which is log(eˣ + e⁰), takes XLA two to three times as long."""
    return _softplus(x) if keras.backend.backend() == "jax" else keras.ops.softplus(x)


def conv_transpose(x, kernel, bias, strides, border):
    """Transposed convolution of pictures `(n, h, w, c)`, less a border on each side.

    PyTorch: Keras' own computes the border and cuts it off. JAX: for the gradient of Keras' own
    XLA on a CPU takes several times as long, on one core only.
    """
    x, kernel = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(kernel)
    bias = None if bias is None else keras.ops.convert_to_tensor(bias)
    if keras.backend.backend() == "jax":
        outputs = _conv_transpose(x, kernel, tuple(strides), tuple(border))
        return outputs if bias is None else outputs + bias
    x, kernel = x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)
    outputs = torch.nn.functional.conv_transpose2d(x, kernel, bias, strides, border)
    return outputs.permute(0, 2, 3, 1)


def has_convolution():
    """Whether `convolution` is faster than Keras' own here."""
    return keras.backend.backend() == "torch"


def convolution(x, kernel, bias, strides, border):
    """Convolution of pictures `(n, h, w, c)` with a border of zeros on each side; on PyTorch.

    Keras' own copies x twice, into an order of memory and back, and adds the bias apart.
    """
    x, kernel = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(kernel)
    bias = None if bias is None else keras.ops.convert_to_tensor(bias)
    x, kernel = x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)
    outputs = torch.nn.functional.conv2d(x, kernel, bias, strides, border)
    return outputs.permute(0, 2, 3, 1)


def pointwise(x, kernel, bias):
    """A 1 × 1 convolution of pictures `(n, h, w, c)` as one product of matrices; on PyTorch."""
    x, kernel, bias = map(keras.ops.convert_to_tensor, (x, kernel, bias))
    return torch.nn.functional.linear(x, kernel[0, 0].T, bias)


def lay_out(kernel, zeros=False):
    """Puts the weights of a convolution into the order of memory that its kernel reads.

    Zeros, which other weights will replace, are not touched, and so take no memory yet.
    """
    if keras.backend.backend() == "torch":
        weights = kernel.value.data.permute(3, 0, 1, 2)
        ordered = torch.zeros(weights.shape, dtype=weights.dtype, device=weights.device)
        kernel.value.data = (ordered if zeros else ordered.copy_(weights)).permute(1, 2, 3, 0)


def order_thin(variables):
    """Makes the kernels of convolutions with one channel fit for PyTorch's gradient by them.

    A batch of one small picture on one thread takes a convolution that looks at the strides of
    axes of length 1 too: those of Keras' kernels, whose channels come last, it refuses by
    "grad_weight must be contiguous". A larger stride of such an axis moves no number.
    """
    if keras.backend.backend() != "torch":
        return
    for variable in variables:
        value = variable.value
        if value.dim() > 2 and 1 in value.shape[-2:] and value.is_contiguous():
            pairs = zip(value.shape, value.stride(), strict=True)
            strides = [value.numel() if size == 1 else stride for size, stride in pairs]
            value.data = value.data.as_strided(value.shape, strides)


def has_group_norm():
    """Whether `group_norm` is faster than Keras' own here, which passes over x eight times."""
    return keras.backend.backend() == "torch"


def group_norm(x, groups, scale, shift, epsilon):
    """Group normalisation of maps `(n, h, w, c)` in one pass; on PyTorch."""
    x = keras.ops.convert_to_tensor(x).permute(0, 3, 1, 2)
    scale, shift = map(keras.ops.convert_to_tensor, (scale, shift))
    outputs = torch.nn.functional.group_norm(x, groups, scale, shift, epsilon)
    return outputs.permute(0, 2, 3, 1)


def attention(queries, keys, values, mask=None):
    """softmax(Q Kᵀ / √c + mask) V of heads, tensors `(n, heads, positions, c)`.

    PyTorch's kernel does not hold the whole matrix of weights in memory. It has no second
    derivative.

    Args:
        queries, keys, values: of one type.
        mask: what is added to the scores, broadcast to `(n, heads, positions, positions)`.
    """
    scale = queries.shape[-1] ** -0.5
    if keras.backend.backend() == "torch":
        half = queries.dtype
        if queries.device.type == "cpu":
            # Its gradient takes a CPU twice as long in half precision.
            queries, keys, values = (x.to(torch.float32) for x in (queries, keys, values))
        mask = None if mask is None else mask.to(queries.dtype)
        outputs = torch.nn.functional.scaled_dot_product_attention(
            queries, keys, values, mask, scale=scale
        )
        return outputs.to(half)
    logits = keras.ops.matmul(queries * scale, keras.ops.transpose(keys, (0, 1, 3, 2)))
    logits = logits if mask is None else logits + keras.ops.cast(mask, logits.dtype)
    return keras.ops.matmul(keras.ops.softmax(logits, axis=-1), values)


if keras.backend.backend() == "jax":

    @jax.custom_jvp
    def _softplus(x):
        return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))

    _softplus.defjvps(lambda tangent, _, x: tangent * jax.nn.sigmoid(x))

    @functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
    def _conv_transpose(x, kernel, strides, border):
        if all(s > 1 and k % s == 0 for k, s in zip(kernel.shape, strides, strict=False)):
            return _conv_to_blocks(x, kernel, strides, border)
        return keras.ops.conv_transpose(x, kernel, strides, "same", data_format="channels_last")

    def _conv_to_blocks(x, kernel, strides, border):
        """One convolution, whose outputs are blocks of pixels; then each moves to its place."""
        (s, t), (height, width, channels, depth) = strides, kernel.shape
        down, right = height // s, width // t
        kernel = kernel.reshape(down, s, right, t, channels, depth)
        kernel = jnp.flip(kernel, (0, 2)).transpose(0, 2, 5, 1, 3, 4)
        kernel = kernel.reshape(down, right, depth, s * t * channels)
        # On each side as far as the kernel reaches.
        x = jnp.pad(x, ((0, 0), (down - 1, down - 1), (right - 1, right - 1), (0, 0)))
        blocks = keras.ops.conv(x, kernel, 1, "valid", data_format="channels_last")
        _, rows, columns, _ = blocks.shape
        blocks = blocks.reshape(-1, rows, columns, s, t, channels).transpose(0, 1, 3, 2, 4, 5)
        outputs = blocks.reshape(-1, rows * s, columns * t, channels)
        top, left = border
        return outputs[:, top : rows * s - top, left : columns * t - left]

    def _forward(x, kernel, strides, border):
        return _conv_transpose(x, kernel, strides, border), (x, kernel)

    def _backward(strides, border, saved, slope):
        """Of a function that is itself the gradient of a convolution: both come from that one."""
        x, kernel = saved

        def convolved(kernel):
            return keras.ops.conv(slope, kernel, strides, "same", data_format="channels_last")

        by_x, by_kernel = jax.vjp(convolved, kernel)
        return by_x, *by_kernel(x)

    _conv_transpose.defvjp(_forward, _backward)
