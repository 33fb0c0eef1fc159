"""What a model can do: asked of the model, and not guessed from its type."""


class Capabilities:
    """Properties of `VAE`; a subclass says where it differs."""

    @property
    def codes_are_integers(self) -> bool:
        """Whether codes are maps of integers `(n, h, w)`, not vectors `(n, latent_dim)`."""
        return False

    @property
    def code_shape(self) -> tuple[int | None, ...]:
        """Shape of one code: `(latent_dim,)`, of maps `(h, w, latent_dim)` or integers `(h, w)`.

        None stands for any size.
        """
        return (self.latent_dim,)

    @property
    def records_calls(self) -> bool:
        """Whether PyTorch records calls to replay them; a recording holds all results once."""
        return True

    @property
    def can_sample(self) -> bool:
        """Whether there is a prior to draw codes from; see `fit_sampler`."""
        return self.prior.can_sample

    @property
    def can_transport(self) -> bool:
        """Whether the prior carries codes from one condition to another, as `edit` does then."""
        return getattr(self.prior, "transports", False)

    @property
    def has_bound(self) -> bool:
        """Whether there is a bound on log p(x): `log_likelihood` raises otherwise."""
        return self.posterior_layer.has_density and self.likelihood.is_density

    @property
    def has_auxiliary(self) -> bool:
        """Whether there are latent variables besides z, which the bound sums over too."""
        return False

    @property
    def classifies(self) -> bool:
        """Whether the model has `classify`, which gives the probability of each label."""
        return False

    @property
    def denoises(self) -> bool:
        """Whether the model has `denoise` and a `corruption` that it was trained with."""
        return False

    @property
    def takes_labels(self) -> bool:
        """Whether conditions are integer labels `(n,)`."""
        return self.condition is not None and self.condition.are_labels

    @property
    def takes_attributes(self) -> bool:
        """Whether conditions are vectors of attributes `(n, c)`."""
        return self.condition is not None and not self.condition.are_labels
