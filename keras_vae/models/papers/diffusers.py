"""Papers by name: the autoencoders of latent diffusion models, as diffusers configures them.

The arguments are those of diffusers' `config.json`, so that `autoencoder_kl(**config)` is the
model of such a file. `keras_vae.zoo.diffusers` moves the weights.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import keras

from keras_vae import initializers, networks, objectives, posteriors, priors, quantizers
from keras_vae.models.papers.diffusers_config import (
    ACTIVATIONS,
    ATTENDED,
    kl_config,
    known,
    tiny_config,
    vq_config,
)
from keras_vae.models.papers.register import paper
from keras_vae.models.spatial import SpatialVAE, SpatialVQVAE

ANY = (None, None, 3)


@paper()
def autoencoder_kl(
    input_shape=ANY,
    latent_dim=4,
    network="kl",
    units=(64,),
    likelihood="optimal_normal",
    seed=None,
    name="autoencoder_kl",
    *,
    in_channels: int | None = None,
    out_channels: int | None = None,
    down_block_types: Sequence[str] | None = None,
    up_block_types: Sequence[str] | None = None,
    block_out_channels: Sequence[int] | None = None,
    layers_per_block: int = 1,
    act_fn: str = "silu",
    latent_channels: int | None = None,
    norm_num_groups: int = 32,
    sample_size: int | Sequence[int] = 32,
    scaling_factor: float = 0.18215,
    shift_factor: float | None = None,
    latents_mean: Sequence[float] | None = None,
    latents_std: Sequence[float] | None = None,
    force_upcast: bool = True,
    use_quant_conv: bool = True,
    use_post_quant_conv: bool = True,
    mid_block_add_attention: bool = True,
    beta: float = 1.0,
    **options: Any,
) -> SpatialVAE:
    """Latent diffusion's autoencoder: -log p(x|z) + β · KL(q(z|x) || N(0, I)), z a map.

    Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022.
    `AutoencoderKL` of diffusers. Pictures are in [0, 1], of any size. The published models
    were trained with a small β, perceptual and adversarial losses besides.

    Args:
        input_shape: `(height, width, channels)`; None for any height or width.
        latent_dim: channels d of a code.
        network: "kl".
        units: channels of the stages, from the data inwards; all but the last halve the
            resolution. (128, 256, 512, 512) in Stable Diffusion.
        likelihood: "optimal_normal", "normal", or a layer of means in [0, 1].
        seed: int for the initial weights and for the noise of training; or None.
        name: model name.
        in_channels, out_channels: channels of the pictures; both those of `input_shape`.
        down_block_types, up_block_types: for each stage "DownEncoderBlock2D" or
            "AttnDownEncoderBlock2D", "UpDecoderBlock2D" or "AttnUpDecoderBlock2D".
        block_out_channels: another name of `units`.
        layers_per_block: residual blocks of a stage of the encoder; the decoder has one more.
        act_fn: "silu", "swish", "mish", "gelu" or "relu", in the residual blocks.
        latent_channels: another name of `latent_dim`.
        norm_num_groups: groups of the normalisations.
        sample_size: the side of diffusers' tiles, kept for its files; here `tile=`.
        scaling_factor, shift_factor, latents_mean, latents_std: what diffusion models take;
            see `SpatialVAE.encode(scaled=True)`.
        force_upcast: whether the networks are float32 under the policy "mixed_float16",
            in which large pictures overflow.
        use_quant_conv, use_post_quant_conv: whether 1 × 1 convolutions are around the code.
        mid_block_add_attention: whether the middle blocks have self-attention.
        beta: β, of at least 0; or a `schedules.Schedule`.

    Returns:
        A built `SpatialVAE`.

    Raises:
        ValueError: a value is out of its range, unknown, or given twice.
    """
    config = kl_config(known(locals()))
    d = config["latent_channels"]
    with _upcast(force_upcast):
        encoder, decoder, posterior_seed = _kl_networks(
            config, input_shape, 2 * d, None, d if use_post_quant_conv else None, d, seed
        )
    return SpatialVAE(
        encoder,
        decoder,
        posteriors.SpatialNormal(d, project=use_quant_conv, seed=posterior_seed),
        likelihood=likelihood,
        objective=objectives.ELBO(beta=beta),
        scaling_factor=scaling_factor,
        shift_factor=shift_factor,
        latents_mean=latents_mean,
        latents_std=latents_std,
        source=config,
        seed=seed,
        name=name or "autoencoder_kl",
    )


@paper()
def vq_model(
    input_shape=ANY,
    latent_dim=3,
    network="kl",
    units=(64,),
    likelihood="optimal_normal",
    seed=None,
    name="vq_model",
    *,
    in_channels: int | None = None,
    out_channels: int | None = None,
    down_block_types: Sequence[str] | None = None,
    up_block_types: Sequence[str] | None = None,
    block_out_channels: Sequence[int] | None = None,
    layers_per_block: int = 1,
    act_fn: str = "silu",
    latent_channels: int | None = None,
    sample_size: int | Sequence[int] = 32,
    num_vq_embeddings: int = 256,
    norm_num_groups: int = 32,
    vq_embed_dim: int | None = None,
    scaling_factor: float = 0.18215,
    norm_type: str = "group",
    mid_block_add_attention: bool = True,
    lookup_from_codebook: bool = False,
    force_upcast: bool = False,
    commitment: float = 0.25,
    **options: Any,
) -> SpatialVQVAE:
    """VQGAN's autoencoder: -log p(x|c) + β ‖z_e - sg(e)‖² + ‖sg(z_e) - e‖² - log p(c).

    Esser, Rombach & Ommer, "Taming Transformers for High-Resolution Image Synthesis", 2021.
    `VQModel` of diffusers. The prior is uniform, so that log p(c) is a constant; samples of it
    are noise. Pictures are in [0, 1], of any size.

    Args: as `autoencoder_kl`, and
        num_vq_embeddings: number of codes K.
        vq_embed_dim: dimensions of a code's vector; `latent_dim` by default.
        norm_type: "group"; or "spatial", where the codes modulate the decoder's normalisations
            (MoVQ; `vq_embed_dim` must be `latent_dim`, and all stages multiples of 32).
        scaling_factor: kept for diffusers' files; integer codes are not scaled.
        lookup_from_codebook: kept for diffusers' files; `decode` always takes integer codes.
        commitment: β.

    Returns:
        A built `SpatialVQVAE`.

    Raises:
        ValueError: a value is out of its range, unknown, or given twice.
    """
    config = vq_config(known(locals()))
    d = config["latent_channels"]
    width = vq_embed_dim or d
    with _upcast(force_upcast):
        encoder, decoder, codebook_seed = _kl_networks(
            config, input_shape, d, width, d, width, seed, modulated=norm_type == "spatial"
        )
    return SpatialVQVAE(
        encoder,
        decoder,
        quantizers.VectorQuantizer(
            num_vq_embeddings, width, "gradient", revive_after=None, seed=codebook_seed
        ),
        priors.UniformCodes(num_vq_embeddings, encoder.output_shape[1:3]),
        likelihood=likelihood,
        objective=objectives.Quantized(commitment),
        source=config,
        seed=seed,
        name=name or "vq_model",
    )


@paper()
def autoencoder_tiny(
    input_shape=ANY,
    latent_dim=4,
    network="tiny",
    units=(64, 64, 64, 64),
    likelihood="optimal_normal",
    seed=None,
    name="autoencoder_tiny",
    *,
    in_channels: int | None = None,
    out_channels: int | None = None,
    encoder_block_out_channels: Sequence[int] | None = None,
    decoder_block_out_channels: Sequence[int] | None = None,
    act_fn: str = "relu",
    upsample_fn: str = "nearest",
    latent_channels: int | None = None,
    upsampling_scaling_factor: int = 2,
    num_encoder_blocks: Sequence[int] = (1, 3, 3, 3),
    num_decoder_blocks: Sequence[int] = (3, 3, 3, 1),
    latent_magnitude: float = 3.0,
    latent_shift: float = 0.5,
    force_upcast: bool = False,
    scaling_factor: float = 1.0,
    shift_factor: float = 0.0,
    pooled_blocks: bool = False,
    **options: Any,
) -> SpatialVAE:
    """Tiny autoencoder: -log p(x|z) of a map z without noise, and no prior.

    Bohan, "Tiny Autoencoder for Stable Diffusion", 2023. `AutoencoderTiny` of diffusers: the
    codes of a large autoencoder by small networks. Pictures are in [0, 1], of any size.

    Args: as `autoencoder_kl`, and
        network: "tiny".
        units: channels of the stages, all alike; each but the first halves the resolution.
        encoder_block_out_channels, decoder_block_out_channels: those of each network, in place
            of `units`.
        act_fn: inside the residual blocks.
        upsample_fn: "nearest".
        upsampling_scaling_factor: by how much a stage of the decoder enlarges; 2, as the
            encoder's stages halve.
        num_encoder_blocks, num_decoder_blocks: residual blocks of each stage.
        latent_magnitude, latent_shift: what diffusers stores codes as bytes with, kept for
            its files.
        pooled_blocks: whether the blocks of the lowest resolution have a group normalisation
            over the whole picture, as the autoencoder of 32 channels has; diffusers has none.

    Returns:
        A built `SpatialVAE`, whose posterior is a point.

    Raises:
        ValueError: a value is out of its range, unknown, or given twice.
    """
    config = tiny_config(known(locals()))
    d, pictures = config["latent_channels"], config["in_channels"]
    seeds = initializers.seeds(seed)
    shared: dict[str, Any] = {"activation": ACTIVATIONS[config["act_fn"]], "pooled": pooled_blocks}
    with _upcast(force_upcast):
        encoder = networks.tiny_encoder(
            (*networks.shape_of(input_shape)[:2], pictures),
            config["encoder_block_out_channels"],
            d,
            config["num_encoder_blocks"],
            seed=next(seeds),
            **shared,
        )
        decoder = networks.tiny_decoder(
            (*encoder.output_shape[1:3], d),
            config["decoder_block_out_channels"],
            pictures,
            config["num_decoder_blocks"],
            scale=upsampling_scaling_factor,
            seed=next(seeds),
            **shared,
        )
    return SpatialVAE(
        encoder,
        decoder,
        posteriors.SpatialPoint(d, project=False),
        prior=priors.NoPrior(d),
        likelihood=likelihood,
        objective=objectives.Reconstruction(),
        scaling_factor=scaling_factor,
        shift_factor=shift_factor,
        source=config,
        seed=seed,
        name=name or "autoencoder_tiny",
    )


def _kl_networks(config, input_shape, outputs, quant, post_quant, codes, seed, modulated=False):
    """Encoder, decoder and the next seed."""
    seeds = initializers.seeds(seed)
    pictures = config["in_channels"]
    shared = {
        "blocks": config["layers_per_block"],
        "groups": config["norm_num_groups"],
        "activation": ACTIVATIONS[config["act_fn"]],
        "middle_attention": config["mid_block_add_attention"],
    }
    height, width = networks.shape_of(input_shape)[:2]
    widths = config["block_out_channels"]
    encoder = networks.kl_encoder(
        (height, width, pictures),
        widths,
        outputs,
        attention=[kind == ATTENDED["down"] for kind in config["down_block_types"]],
        quant_channels=quant,
        seed=next(seeds),
        **shared,
    )
    decoder = networks.kl_decoder(
        (*encoder.output_shape[1:3], codes),
        widths,
        pictures,
        attention=[kind == ATTENDED["up"] for kind in config["up_block_types"]],
        quant_channels=post_quant,
        modulated=modulated,
        seed=next(seeds),
        **shared,
    )
    return encoder, decoder, next(seeds)


@contextlib.contextmanager
def _upcast(force):
    """float32 in place of float16: large pictures overflow in it."""
    policy = keras.config.dtype_policy()
    if force and policy.compute_dtype == "float16":
        keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
