"""A model as plain Keras models: its encoder, its decoder, and its `call`."""

import keras

from keras_vae.layers import Code, CodeVectors, ConditionVectors, DataMean


class AsKeras:
    """Methods of `VAE` that give functional models, which share its weights."""

    # Whether a code is the posterior's of what the encoder gives, and nothing else.
    _plain_codes = True

    def encoder_model(self):
        """From data to codes, as `encode`: a functional model with the same weights.

        It takes x, or `[x, y]` where the model is conditional, and gives the posterior's
        means `(n, d)`; of a VQ-VAE integer codes `(n, h, w)`. It can be saved, exported and
        built upon as any Keras model.

        Raises:
            ValueError: a model whose codes need more than its encoder.
        """
        self._is_encoder_posterior_decoder()
        inputs = self._symbolic(self.data_shape, "data")
        features = self.encoder(self._seen(inputs))
        return keras.Model(_bare(inputs), Code(self.posterior_layer)(features), name="encoder")

    def decoder_model(self):
        """From codes to means of p(x|z) in data space, as `decode`; see `encoder_model`.

        It takes z, or `[z, y]` where the decoder is conditional.
        """
        self._is_encoder_posterior_decoder()
        integers = self.codes_are_integers
        inputs = self._symbolic(self.code_shape, "codes", "int32" if integers else "float32")
        if integers:
            outputs = self.decoder(CodeVectors(self.posterior_layer)(inputs[0]))
        else:
            outputs = self.decoder(self._seen(inputs))
        return keras.Model(_bare(inputs), DataMean(self.likelihood)(outputs), name="decoder")

    @property
    def input_shape(self):
        """`(None, ...)` of the data; with that of the condition in a list, if there is one."""
        shape = (None, *self.data_shape)
        y = self._condition_shape()
        return shape if y is None else [shape, (None, *y)]

    @property
    def output_shape(self):
        """`(None, ...)` of the data."""
        return (None, *self.data_shape)

    @property
    def input(self):
        """Symbolic data, or `[data, condition]`, of which `output` is the reconstruction."""
        return self._graph()[0]

    @property
    def output(self):
        """The symbolic reconstruction of `input`."""
        return self._graph()[1]

    @property
    def input_dtype(self):
        """What Keras and TensorFlow's converter give as input."""
        return "float32"

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Keras' `export` of `call`, the reconstruction; prefer `keras_vae.export`.

        `keras_vae.export.saved_model`, `tflite` and `onnx` export `encode`, `decode` and
        `sample` too, from every backend, and compare the file with the model.

        Raises:
            ValueError: Keras cannot export on this backend or in this format.
        """
        try:
            return keras.Model(self.input, self.output).export(filepath, format, **kwargs)
        except Exception as error:
            raise ValueError(
                "Keras cannot export the model so. `keras_vae.export.saved_model(model, path)`, "
                "`export.tflite` and `export.onnx` can, from every backend. "
                f"Received: format={format!r}, {type(error).__name__}: {error}"
            ) from error

    def _graph(self):
        # Not tracked by Keras: the model would be a part of itself.
        if "_symbolic_graph" not in self.__dict__:
            inputs = _bare(self._symbolic(self.data_shape, "data"))
            self.__dict__["_symbolic_graph"] = inputs, self(inputs)
        return self.__dict__["_symbolic_graph"]

    def _symbolic(self, shape, name, dtype="float32"):
        inputs = [keras.Input(shape, name=name, dtype=dtype)]
        y = None if name == "codes" and self.codes_are_integers else self._condition_shape()
        if y is not None:
            kind = "int32" if self.condition.are_labels else "float32"
            inputs.append(keras.Input(y, name="condition", dtype=kind))
        return inputs

    def _condition_shape(self):
        if self.condition is None or self.codes_are_integers:
            return None
        return () if self.condition.are_labels else (self.condition.dim,)

    def _seen(self, inputs):
        """What the networks see: conditions as vectors."""
        if len(inputs) == 1:
            return inputs[0]
        return [inputs[0], ConditionVectors(self.condition)(inputs[1])]

    def _is_encoder_posterior_decoder(self):
        if not self._plain_codes:
            raise ValueError(
                "The codes of this model come of more than its encoder and posterior: use "
                f"`encode` and `decode`. Received: {type(self).__name__}"
            )


def _bare(inputs):
    return inputs if len(inputs) > 1 else inputs[0]
