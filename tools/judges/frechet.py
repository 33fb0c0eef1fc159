"""Fréchet distances in the features of a classifier that a recipe's data set trains."""

import keras

from keras_vae import datasets, metrics

from . import attributes
from .classifier import classifier


def features_of(data):
    """Features of pictures, and in words what they are.

    Those before the last layer of the digit or object classifier where there are
    labels, and of the attribute classifier that measures where there are attributes.
    """
    if datasets.info(data).attributes:
        judge, name = attributes.classifier(attributes.MEASURES, data), "attribute classifier"
    else:
        judge, name = classifier(data)[0], "classifier"
    features = keras.Model(judge.inputs[0], judge.layers[-2].output)
    width = features.output_shape[-1]
    return features, f"{width} features before the last layer of the {name} that measures, "


def distances(data, x, sets, entry):
    """Entries of the metadata: from a split's pictures to sets of pictures, by name.

    The validation split is one of them, as what a perfect model would reach; of faces,
    whose splits hold different people, two halves of x are compared as well. Fewer pictures
    have a larger distance: compare figures of the same numbers only.
    """
    features, what = features_of(data)
    width = features.output_shape[-1]
    if len(x) <= width:
        print(f"No Fréchet distance: it needs more than {width} examples, and these are {len(x)}.")
        return []
    others, _ = datasets.load(data, "validation")
    found = []
    for name, pictures in {**sets, "the validation split": others}.items():
        distance = metrics.frechet_distance(pictures, x, features)
        how = f"{len(pictures)} images, {what}"
        found.append(entry(f"Fréchet distance of {name}", distance, unit="", how=how))
    halves = x[::2], x[1::2]
    if datasets.info(data).attributes and len(halves[1]) > width:
        distance = metrics.frechet_distance(*halves, features)
        how = f"{len(halves[0])} and {len(halves[1])} images, every second one, {what}"
        found.append(
            entry("Fréchet distance of two halves of the real faces", distance, unit="", how=how)
        )
    return found
