"""Parts that are replaced, `model.decoder = other`: checked as in the constructor, or refused."""

import keras

from keras_vae import objectives, priors
from keras_vae.models import parts
from keras_vae.training import keras_private

_UNSET = object()
# What `_networks` looks at.
_FITTED = ("encoder", "decoder", "posterior", "prior", "condition", "likelihood")
_ATTRIBUTES = frozenset(
    "encoder decoder posterior_layer prior likelihood objective condition directions".split()
)


class Replacing:
    """Methods of `VAE` that put another part in a part's place."""

    def _networks(self, encoder, decoder, posterior, prior, condition, likelihood):
        """Encoder and decoder as functional models, whatever kind of model users give."""
        dim = None if condition is None else condition.dim
        decoder = parts.decoder(decoder, (posterior.latent_dim,), dim)
        shape = likelihood.data_shape(tuple(decoder.output_shape[1:]))
        return parts.encoder(encoder, shape, dim), decoder

    def __setattr__(self, name, value):
        # Before there is `trackers`, the constructor is at work; a subclass sets its own later.
        if (
            "trackers" in self.__dict__
            and name in self._replaceable()
            and getattr(self, name, _UNSET) is not _UNSET
        ):
            self._replace(name, value)
        else:
            super().__setattr__(name, value)

    def _replaceable(self):
        """Attributes that hold a part, which another may take the place of."""
        return _ATTRIBUTES

    def _replace(self, name, new):
        """Sets another part, if it fits the others; else nothing has changed."""
        old = getattr(self, name)
        if new is old:
            return
        own = {name: self._part(name) for name in _FITTED}
        if name in ("encoder", "decoder"):
            new = self._networks(**{**own, name: new})[name == "decoder"]
        elif name == "posterior_layer":
            new = parts.posterior(new, self.decoder, self.seed)
        elif name == "prior":
            new = parts.checked(name, new) or priors.StandardNormal(self.latent_dim)
        elif name == "likelihood":
            new = parts.likelihood(new)
        elif name == "objective":
            new = parts.checked(name, new) or objectives.ELBO()
        elif name == "condition":
            new = parts.checked(name, new)
        self._put(name, old, new)
        try:
            self._check_parts()
            parts.check_outputs(self.decoder, self.likelihood)
            if not self.posterior_layer.built:
                self.posterior_layer.build(self.encoder.output_shape)
            elif name in ("encoder", "posterior_layer"):
                parts.features_fit(self)
        except Exception:
            self._put(name, new, old)
            raise
        self.__dict__.pop("_symbolic_graph", None)
        # A prior may hold on to encoder and posterior.
        self.prior.attach(self)
        if name == "objective":
            self._track(old.terms, new.terms)

    def _put(self, name, old, new):
        layers = [isinstance(part, keras.layers.Layer) for part in (old, new)]
        if all(layers):
            # In the same place: the order of the weights is that of a model built of the parts.
            keras_private.replace_layer(self, old, new)
        elif layers[0]:
            keras_private.forget(self, [old])
        super().__setattr__(name, new)

    def _track(self, old, new):
        """Has the model log the terms of another objective, and its own as before."""
        trackers = list(self.trackers)
        keras_private.forget(self, trackers)
        self.trackers = [keras.metrics.Mean(name=t) for t in new] + trackers[len(old) :]
