"""Training loops written by hand in each framework, which `benchmark` compares `fit` with.

What a user would write for speed and no more: fixed parameters in lists, Adam, data on
the device, many steps in one compiled program where the framework has such a thing.

A network is an encoder and a decoder, lists of layers:
`("dense", units, activate)`, `("conv", filters, activate)` and `("up", filters,
activate)` of stride 2 and 4 x 4 pixels, `("reshape", shape)`. One whose encoder ends in
maps is a VQ-VAE of `CODES` vectors, trained by their gradient.
"""

import math

import numpy as np

ADAM = (1e-3, 0.9, 0.999, 1e-7)
CODES, COMMITMENT = 512, 0.25


def quantizes(network):
    """Whether a network is a VQ-VAE's."""
    return network[0][-1][0] == "conv"


def initial(network, shape, latent_dim, condition_dim=0):
    """Kernels and biases as NumPy arrays: the encoder's, the decoder's, and any codebook."""
    rng = np.random.default_rng(0)
    encoder, decoder = network
    found, size = [], None
    start = (*shape[:-1], shape[-1] + condition_dim)
    for layers, first in ((encoder, start), (decoder, (latent_dim + condition_dim,))):
        size = size if size and quantizes(network) else first
        for kind, value, *_ in layers:
            if kind == "reshape":
                size = value
                continue
            if kind == "dense":
                kernel, size = (math.prod(size), value), (value,)
                ways = kernel
            else:
                height, width, channels = size
                down = kind == "conv"
                size = (height // 2, width // 2, value) if down else (height * 2, width * 2, value)
                kernel = (4, 4, channels, value) if down else (4, 4, value, channels)
                ways = (16 * channels, 16 * value)
            limit = math.sqrt(6 / sum(ways))
            found += [rng.uniform(-limit, limit, kernel).astype("float32")]
            found += [np.zeros(value, "float32")]
    if quantizes(network):
        found.append(rng.uniform(-0.1, 0.1, (CODES, encoder[-1][1])).astype("float32"))
    return found


def jax_loop(network, x, latent_dim, batch, y=None):
    """Returns a function that trains for an epoch; `lax.scan` unless it convolves."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    numbers = ("NHWC", "HWIO", "NHWC")

    def run(layers, values, h):
        for kind, value, *activate in layers:
            if kind == "reshape":
                h = h.reshape(-1, *value)
                continue
            w, b = next(values), next(values)
            if kind == "dense":
                h = h.reshape(len(h), -1) @ w + b
            elif kind == "conv":
                h = lax.conv_general_dilated(h, w, (2, 2), "SAME", dimension_numbers=numbers) + b
            else:
                h = lax.conv_transpose(h, w.swapaxes(2, 3), (2, 2), "SAME") + b
            h = jax.nn.relu(h) if activate[0] else h
        return h

    def quantized(values, data, _):
        found, book = iter(values), values[-1]
        h = run(network[0], found, data[0])
        flat = h.reshape(-1, book.shape[1])
        distances = jnp.sum(book**2, 1) - 2 * flat @ book.T
        v = book[jnp.argmin(distances, 1)].reshape(h.shape)
        out = run(network[1], found, h + lax.stop_gradient(v - h))
        total = 0.5 * jnp.sum((out - data[0]) ** 2)
        total += COMMITMENT * jnp.sum((h - lax.stop_gradient(v)) ** 2)
        return (total + jnp.sum((lax.stop_gradient(h) - v) ** 2)) / len(h)

    def loss(values, data, key):
        data, codes = data if y is not None else (data[0], None)
        values = iter(values)
        h = run(network[0], values, data if codes is None else _join(jnp, data, codes))
        mean, log_var = jnp.split(h, 2, -1)
        z = mean + jnp.exp(log_var / 2) * jax.random.normal(key, mean.shape)
        logits = run(network[1], values, z if codes is None else jnp.concatenate([z, codes], -1))
        logits = logits.reshape(data.shape)
        nll = jnp.maximum(logits, 0) - logits * data + jnp.log1p(jnp.exp(-jnp.abs(logits)))
        kl = 0.5 * jnp.sum(mean**2 + jnp.exp(log_var) - 1 - log_var, -1)
        return jnp.mean(jnp.sum(nll.reshape(len(data), -1), -1) + kl)

    def step(state, rows):
        values, m, v, t, key = state
        key, noise = jax.random.split(key)
        found, g = jax.value_and_grad(of_batch)(values, [a[rows] for a in arrays], noise)
        rate, one, two, small = ADAM
        t = t + 1
        rate = rate * jnp.sqrt(1 - two**t) / (1 - one**t)
        m = [one * m + (1 - one) * g for m, g in zip(m, g, strict=True)]
        v = [two * v + (1 - two) * g * g for v, g in zip(v, g, strict=True)]
        moments = zip(values, m, v, strict=True)
        values = [p - rate * m / (jnp.sqrt(v) + small) for p, m, v in moments]
        return (values, m, v, t, key), found

    of_batch = quantized if quantizes(network) else loss
    arrays = [jnp.asarray(a) for a in (x, y) if a is not None]
    values = [jnp.asarray(v) for v in initial(network, x.shape[1:], latent_dim, _width(y))]
    state = [values, *([jnp.zeros_like(v) for v in values] for _ in range(2))]
    state = (*state, jnp.float32(0), jax.random.PRNGKey(0))
    dense = all(v.ndim < 3 for v in values)
    step_jit = jax.jit(step, donate_argnums=0)
    scan = jax.jit(lambda state, table: lax.scan(step, state, table), donate_argnums=0)

    def epoch():
        nonlocal state
        rows_of_steps = table(len(x), batch)
        if dense:
            state, found = scan(state, rows_of_steps)
        else:
            found = []
            for rows in rows_of_steps:
                state, one = step_jit(state, rows)
                found.append(one)
        return float(np.mean(np.asarray(found)))

    return epoch


def tensorflow_loop(network, x, latent_dim, batch, y=None):
    """Returns a function that trains for an epoch: one while loop, with XLA unless it convolves."""
    import tensorflow as tf

    def run(layers, values, h):
        for kind, value, *activate in layers:
            if kind == "reshape":
                h = tf.reshape(h, (-1, *value))
                continue
            w, b = next(values), next(values)
            if kind == "dense":
                h = tf.reshape(h, (batch, -1)) @ w + b
            elif kind == "conv":
                h = tf.nn.conv2d(h, w, 2, "SAME") + b
            else:
                _, height, width, _ = h.shape
                h = tf.nn.conv2d_transpose(h, w, (batch, 2 * height, 2 * width, value), 2) + b
            h = tf.nn.relu(h) if activate[0] else h
        return h

    def quantized(data, _):
        found, book = iter(values), values[-1]
        h = run(network[0], found, data[0])
        flat = tf.reshape(h, (-1, book.shape[1]))
        distances = tf.reduce_sum(book**2, 1) - 2 * tf.matmul(flat, book, transpose_b=True)
        v = tf.reshape(tf.gather(book, tf.argmin(distances, 1)), h.shape)
        out = run(network[1], found, h + tf.stop_gradient(v - h))
        total = 0.5 * tf.reduce_sum((out - data[0]) ** 2)
        total += COMMITMENT * tf.reduce_sum((h - tf.stop_gradient(v)) ** 2)
        return (total + tf.reduce_sum((tf.stop_gradient(h) - v) ** 2)) / batch

    def loss(data, seed):
        data, codes = data if y is not None else (data[0], None)
        found = iter(values)
        h = run(network[0], found, data if codes is None else _join(tf, data, codes))
        mean, log_var = tf.split(h, 2, -1)
        z = mean + tf.exp(log_var / 2) * tf.random.stateless_normal(mean.shape, seed)
        logits = run(network[1], found, z if codes is None else tf.concat([z, codes], -1))
        nll = tf.nn.sigmoid_cross_entropy_with_logits(data, tf.reshape(logits, data.shape))
        kl = 0.5 * tf.reduce_sum(mean**2 + tf.exp(log_var) - 1 - log_var, -1)
        return tf.reduce_mean(tf.reduce_sum(tf.reshape(nll, (batch, -1)), -1) + kl)

    of_batch = quantized if quantizes(network) else loss
    arrays = [tf.constant(a) for a in (x, y) if a is not None]
    first = initial(network, x.shape[1:], latent_dim, _width(y))
    values = [tf.Variable(v) for v in first]
    m, v = ([tf.Variable(tf.zeros_like(p)) for p in first] for _ in range(2))
    t = tf.Variable(0.0)
    dense = all(p.ndim < 3 for p in first)

    @tf.function(jit_compile=dense)
    def train(table, arrays):
        total = 0.0
        for i in tf.range(len(table)):
            with tf.GradientTape() as tape:
                seed = tf.stack([tf.cast(t, tf.int32), 0])
                found = of_batch([tf.gather(a, table[i]) for a in arrays], seed)
            gradients = map(tf.convert_to_tensor, tape.gradient(found, values))
            rate, one, two, small = ADAM
            t.assign_add(1.0)
            rate = rate * tf.sqrt(1 - two**t) / (1 - one**t)
            for p, g, a, b in zip(values, gradients, m, v, strict=True):
                a.assign(one * a + (1 - one) * g)
                b.assign(two * b + (1 - two) * g * g)
                p.assign_sub(rate * a / (tf.sqrt(b) + small))
            total += found
        return total / tf.cast(len(table), tf.float32)

    return lambda: float(train(tf.constant(table(len(x), batch)), arrays))


def torch_loop(network, x, latent_dim, batch, y=None):
    """Returns a function that trains for an epoch: eager, fused Adam, channels last."""
    import torch
    from torch.nn import functional

    device = "cuda" if torch.cuda.is_available() else "cpu"

    def run(layers, values, h):
        for kind, value, *activate in layers:
            if kind == "reshape":
                height, width, channels = value
                h = h.reshape(-1, channels, height, width)
                h = h.contiguous(memory_format=torch.channels_last)
                continue
            w, b = next(values), next(values)
            if kind == "dense":
                h = functional.linear(h.reshape(len(h), -1), w, b)
            elif kind == "conv":
                h = functional.conv2d(h, w, b, 2, 1)
            else:
                h = functional.conv_transpose2d(h, w, b, 2, 1)
            h = functional.relu(h) if activate[0] else h
        return h

    def quantized(data):
        found, book = iter(values), values[-1]
        h = run(network[0], found, data[0])
        flat = h.permute(0, 2, 3, 1).reshape(-1, book.shape[1])
        nearest = torch.argmin(torch.sum(book**2, 1) - 2 * flat @ book.T, 1)
        v = functional.embedding(nearest, book)
        v = v.reshape(len(h), *h.shape[2:], -1).permute(0, 3, 1, 2)
        out = run(network[1], found, h + (v - h).detach())
        total = 0.5 * torch.sum((out - data[0]) ** 2)
        total += COMMITMENT * torch.sum((h - v.detach()) ** 2)
        return (total + torch.sum((h.detach() - v) ** 2)) / len(h)

    def loss(data):
        data, codes = data if y is not None else (data[0], None)
        found = iter(values)
        if codes is None:
            h = run(network[0], found, data)
        else:
            maps = codes[:, :, None, None].expand(-1, -1, *data.shape[2:])
            h = run(network[0], found, torch.cat([data, maps], 1))
        mean, log_var = h.chunk(2, -1)
        z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
        logits = run(network[1], found, z if codes is None else torch.cat([z, codes], -1))
        nll = functional.binary_cross_entropy_with_logits(
            logits.reshape(data.shape), data, reduction="sum"
        )
        kl = 0.5 * (mean**2 + torch.exp(log_var) - 1 - log_var).sum()
        return (nll + kl) / len(data)

    def parameter(value):
        value = torch.from_numpy(value).to(device)
        if value.ndim == 2:
            value = value.T.contiguous()
        elif value.ndim == 4:
            value = value.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
        return value.requires_grad_()

    of_batch = quantized if quantizes(network) else loss
    first = initial(network, x.shape[1:], latent_dim, _width(y))
    book = [torch.from_numpy(first.pop()).to(device)] if quantizes(network) else []
    values = [parameter(v) for v in first] + [v.requires_grad_() for v in book]
    pictures = torch.from_numpy(x).permute(0, 3, 1, 2)
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    arrays = [pictures.to(device)] + ([] if y is None else [torch.from_numpy(y).to(device)])
    optimizer = torch.optim.Adam(values, ADAM[0], ADAM[1:3], ADAM[3], fused=True)

    def epoch():
        total = 0.0
        for rows in torch.from_numpy(table(len(x), batch)).to(device):
            optimizer.zero_grad()
            found = of_batch([a[rows] for a in arrays])
            found.backward()
            optimizer.step()
            total = total + found.detach()
        return float(total) / (len(x) // batch)

    return epoch


LOOPS = {"jax": jax_loop, "tensorflow": tensorflow_loop, "torch": torch_loop}


def table(n, batch):
    """Rows of an epoch's whole batches, shuffled: `(steps, batch)`."""
    whole = n // batch
    return np.random.permutation(n)[: whole * batch].reshape(whole, batch).astype("int32")


def _join(framework, data, codes):
    """Pictures with the conditions as further channels."""
    shape = (*data.shape[:-1], codes.shape[-1])
    maps = framework.broadcast_to(codes[:, None, None, :], shape)
    return (framework.concat if hasattr(framework, "concat") else framework.concatenate)(
        [data, maps], -1
    )


def _width(y):
    return 0 if y is None else y.shape[1]
