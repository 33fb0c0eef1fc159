"""The same networks in pythae, which `benchmark` compares with where it is installed."""

import importlib.util
import tempfile

import numpy as np

from . import raw_loops

INSTALLED = importlib.util.find_spec("pythae") is not None


def loop(network, x, latent_dim, batch, own_loader=True):
    """Returns a function that trains pythae's VAE for an epoch, on the CPU or a GPU.

    Its model, loss, optimizer and training loop; without `own_loader`, which fetches
    example by example, on batches cut from an array.
    """
    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VQVAE, VAEConfig, VQVAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from torch import nn

    shape, quantized = x.shape[1:], raw_loops.quantizes(network)

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.layers = _modules(nn, network[0], shape)

        def forward(self, x):
            if quantized:
                return ModelOutput(embedding=self.layers(x))
            mean, log_var = self.layers(x).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            first = (None, None, network[0][-1][1]) if quantized else (latent_dim,)
            self.layers = _modules(nn, network[1], first)
            if not quantized:
                self.layers.append(nn.Sigmoid())

        def forward(self, z):
            return ModelOutput(reconstruction=self.layers(z))

    pictures = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    if quantized:
        config = VQVAEConfig(
            pictures.shape[1:],
            num_embeddings=raw_loops.CODES,
            commitment_loss_factor=raw_loops.COMMITMENT,
        )
        model = VQVAE(config, Encoder(), Decoder())
    else:
        config = VAEConfig(pictures.shape[1:], latent_dim, reconstruction_loss="bce")
        model = VAE(config, Encoder(), Decoder())
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            model,
            BaseDataset(torch.from_numpy(pictures), torch.zeros(len(x))),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                learning_rate=raw_loops.ADAM[0],
                per_device_train_batch_size=batch,
            ),
        )
        trainer.prepare_training()
    trainer.callback_handler.callbacks.clear()
    if not own_loader:
        trainer.train_loader = _Batches(torch, pictures, batch)
    return lambda: trainer.train_step(1)


class _Batches:
    """In the place of its loader: an epoch's shuffled batches."""

    def __init__(self, torch, pictures, batch):
        self.pictures, self.batch, self.dataset = torch.from_numpy(pictures), batch, pictures

    def __len__(self):
        return len(self.pictures) // self.batch

    def __iter__(self):
        for rows in raw_loops.table(len(self.pictures), self.batch):
            yield {"data": self.pictures[rows]}


def _modules(nn, layers, size):
    """The layers of `raw_loops` as PyTorch's own modules."""
    found = []
    for kind, value, *activate in layers:
        if kind == "reshape":
            size = value
            found.append(nn.Unflatten(-1, (value[2], *value[:2])))
            continue
        if kind == "dense":
            if len(size) > 1:
                found.append(nn.Flatten())
            found.append(nn.Linear(int(np.prod(size)), value))
            size = (value,)
        else:
            down = kind == "conv"
            make = nn.Conv2d if down else nn.ConvTranspose2d
            found.append(make(size[2], value, 4, 2, 1))
            size = [n and (n // 2 if down else 2 * n) for n in size[:2]] + [value]
        if activate[0]:
            found.append(nn.ReLU())
    return nn.Sequential(*found)
