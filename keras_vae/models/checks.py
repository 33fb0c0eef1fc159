"""Checks that the parts of a model fit each other."""

from keras_vae.priors import StandardNormalMap

# Files of objectives that look at codes as vectors.
_OF_VECTORS = (
    "total_correlation",
    "matching",
    "mean_field",
    "sparsity",
    "contraction",
    "auxiliary",
)


def parts_fit(model):
    """Raises a ValueError where one part of a model does not fit another."""
    posterior, prior = model.posterior_layer, model.prior
    if getattr(posterior, "codes_are_maps", False):
        raise ValueError(
            "The codes of this posterior are maps: make a `models.SpatialVAE` of the parts. "
            f"Received: posterior={type(posterior).__name__}"
        )
    if prior.latent_dim != posterior.latent_dim:
        raise ValueError(
            "Posterior and prior must have the same number of latent dimensions. "
            f"Received: {posterior.latent_dim} and {prior.latent_dim}"
        )
    _prior_takes_condition(model)
    _inputs_fit(model, "encoder")
    _inputs_fit(model, "decoder", (posterior.latent_dim,))
    _same_data_shape(model)
    _objective_fits(model)


def _prior_takes_condition(model):
    prior = model.prior
    dim = None if model.condition is None else model.condition.dim
    if getattr(prior, "condition_dim", dim) not in (None, dim):
        raise ValueError(
            "The prior must take the model's conditions. "
            f"Received: condition_dim={prior.condition_dim} and {dim}"
        )


def _inputs_fit(model, part, first=None):
    """Whether a network takes data or codes of shape `first`, and the condition if there is one."""
    shapes = [tuple(tensor.shape[1:]) for tensor in getattr(model, part).inputs]
    wanted = 1 if model.condition is None else 2
    if len(shapes) != wanted:
        hint = ""
        if part == "encoder" and len(shapes) > wanted:
            hint = (
                " Data of several parts is one array, which the encoder divides, such as "
                "by `x[:, :3]` and `x[:, 3:]`."
            )
        raise ValueError(
            f"The {part} must have {wanted} input(s): "
            f"{'one' if wanted == 1 else 'one and the condition'}.{hint} "
            f"Received: {len(shapes)} inputs"
        )
    if first and shapes[0] != first:
        raise ValueError(f"The {part} must take codes of shape {first}. Received: {shapes[0]}")
    if wanted == 2 and shapes[1] != (model.condition.dim,):
        raise ValueError(
            f"The {part} must take conditions of shape ({model.condition.dim},). "
            f"Received: {shapes[1]}"
        )


def quantized_parts_fit(model):
    """`parts_fit` of a `VQVAE`, whose codes are maps."""
    features = tuple(model.encoder.output_shape[1:])
    prior, condition = model.prior, model.condition
    codes = (*model.quantizer.feature_map_shape(prior.map_shape), model.latent_dim)
    if features != codes:
        raise ValueError(
            "The encoder must give maps (height, width, dimensions of a code) as the prior "
            f"and the quantizer take them: {codes}. Received: {features}"
        )
    if prior.num_codes != model.num_codes:
        raise ValueError(
            "Quantizer and prior must have the same number of codes. "
            f"Received: {model.num_codes} and {prior.num_codes}"
        )
    if prior.condition_dim != (None if condition is None else condition.dim):
        raise ValueError(
            "The prior must take the model's conditions. Received: condition_dim="
            f"{prior.condition_dim} and {condition and condition.dim}"
        )
    taken = tuple(model.decoder.inputs[0].shape[1:])
    if taken != codes:
        raise ValueError(f"The decoder must take maps of shape {codes}. Received: {taken}")
    _same_data_shape(model)


def spatial_parts_fit(model):
    """`parts_fit` of a `SpatialVAE`, whose codes are maps."""
    posterior, prior, objective = model.posterior_layer, model.prior, model.objective
    if not getattr(posterior, "codes_are_maps", False):
        raise ValueError(
            "The posterior must give maps, as `posteriors.SpatialNormal(latent_dim)` and "
            "`posteriors.SpatialPoint` do; models of vectors are `models.VAE`. "
            f"Received: posterior={type(posterior).__name__}"
        )
    if prior.latent_dim != posterior.latent_dim:
        raise ValueError(
            "Posterior and prior must have the same number of channels. "
            f"Received: {posterior.latent_dim} and {prior.latent_dim}"
        )
    _prior_takes_condition(model)
    _inputs_fit(model, "encoder")
    _inputs_fit(model, "decoder")
    own_shape = getattr(prior, "code_shape", None)
    if own_shape is not None and own_shape != model.code_shape:
        raise ValueError(
            "The prior draws maps of one size, which must be that of the model's codes: build the "
            f"model with a fixed `input_shape`. Expected: {model.code_shape}. "
            f"Received: {type(prior).__name__} with code_shape={own_shape}"
        )
    if posterior.has_density and own_shape is None and not isinstance(prior, StandardNormalMap):
        known = type(prior).__module__.split(".")[0] == "keras_vae"
        if known and type(prior).__name__ != "NoPrior":
            raise ValueError(
                "The prior must be one of maps, such as `priors.StandardNormalMap(latent_dim)`. "
                f"Received: prior={type(prior).__name__}"
            )
    module = type(objective).__module__.removeprefix("keras_vae.objectives.")
    if module in _OF_VECTORS or getattr(objective, "parts", None):
        raise ValueError(
            "This objective compares codes that are vectors. For maps use `objectives.ELBO`, "
            "`objectives.Reconstruction` or `objectives.IWAE`. "
            f"Received: objective={type(objective).__name__}"
        )
    features, taken = model.encoder.output_shape, tuple(model.decoder.inputs[0].shape[1:])
    if len(features) != 4 or len(taken) != 3:
        raise ValueError(
            "Encoder and decoder must give and take maps (n, height, width, channels). "
            f"Received: features {tuple(features)}, codes (n, {', '.join(map(str, taken))})"
        )
    wanted = (*features[1:3], posterior.latent_dim)
    if taken != wanted:
        raise ValueError(f"The decoder must take maps of shape {wanted}. Received: {taken}")
    _same_data_shape(model)


def auxiliary_parts_fit(model):
    """`parts_fit` of an `AuxiliaryVAE`, whose networks see more than the data."""
    d, extra, condition = model.latent_dim, model.auxiliary_dim, model.condition
    if model.prior.latent_dim != d:
        raise ValueError(
            "Posterior and prior must have the same number of latent dimensions. "
            f"Received: {d} and {model.prior.latent_dim}"
        )
    classes = 0 if condition is None else condition.dim
    if bool(classes) != (model.classifier is not None) or (classes and not condition.optional):
        raise ValueError(
            "A classifier comes with `conditions.OptionalLabels`, and these with it. Received: "
            f"condition={type(condition).__name__}, classifier={model.classifier}"
        )
    if classes and model.likelihood.depends_on_batch:
        raise ValueError(
            "Every example is decoded as each class, so that no variance can be fitted to "
            "the batch: use 'normal'. Received: likelihood=Normal('optimal')"
        )
    data = tuple(model.auxiliary_encoder.inputs[0].shape[1:])
    wanted = {
        "encoder": [data, (extra + classes,)],
        "decoder": [(d,), (classes,)] if classes else [(d,)],
        "auxiliary_encoder": [data],
        "auxiliary_decoder": [data, (d + classes,)],
        **({"classifier": [data, (extra,)]} if classes else {}),
    }
    for part, shapes in wanted.items():
        found = [tuple(tensor.shape[1:]) for tensor in getattr(model, part).inputs]
        if found != shapes:
            raise ValueError(f"The {part} must take inputs of shapes {shapes}. Received: {found}")
    _same_data_shape(model)


def _objective_fits(model):
    objective, posterior, prior = model.objective, model.posterior_layer, model.prior
    if objective.needs_densities and posterior.relaxes:
        raise ValueError(
            "Training draws relaxed codes of categorical variables, whose density this "
            "objective would take for that of one-hot codes: what it minimises would be no "
            "bound. Use `objectives.ELBO`, whose KL has a closed form. Received: "
            f"objective={type(objective).__name__}, posterior={type(posterior).__name__}"
        )
    if objective.draws_from_prior and not prior.samples_have_gradient and prior.trainable_variables:
        raise ValueError(
            "Samples of a mixture have no gradient by its weights, so that this objective "
            "would train its means and variances only. Use an objective of densities, such as "
            "`objectives.ELBO`, or set `prior.trainable = False` first. Received: "
            f"objective={type(objective).__name__}, prior={type(prior).__name__}"
        )


def bound_exists(model):
    """Raises a ValueError where a model gives no bound on log p(x)."""
    if not model.posterior_layer.has_density:
        raise ValueError(
            "Codes without noise have no density, so that there is no bound on log p(x): "
            "build the model with a stochastic posterior (`wae_mmd(stochastic=True)`, "
            f"`vae`). Received: {type(model.posterior_layer).__name__}"
        )
    if not model.likelihood.is_density:
        raise ValueError(
            "This loss of pictures is no density of x, so that there is no bound on "
            "log p(x): measure `evaluate`, `metrics.psnr` or `metrics.ms_ssim`. "
            f"Received: {type(model.likelihood).__name__}"
        )


def _same_data_shape(model):
    data = tuple(model.encoder.inputs[0].shape[1:])
    if data != model.data_shape:
        raise ValueError(
            "The decoder must give outputs in data shape, unless `data_shape` of the likelihood "
            "says otherwise. "
            f"Received: data {data}, decoder output {tuple(model.decoder.output_shape[1:])}, "
            f"likelihood {type(model.likelihood).__name__}"
        )
