"""Generated faces, for what would need a photograph elsewhere.

CelebA's pictures may not be given away, so cards, golden values and tests of a
face preset use faces that it drew itself, with attributes written by hand.
"""

import numpy as np

from keras_vae import datasets

# The attributes that are measured, and shown on the cards.
SWITCHED = (
    *("Smiling", "Male", "Eyeglasses", "Blond_Hair", "Young", "Bangs"),
    *("Mouth_Slightly_Open", "Wearing_Lipstick", "Heavy_Makeup", "Mustache"),
)
# Some of them, shown at several strengths.
SHOWN = ("Smiling", "Male", "Eyeglasses", "Blond_Hair", "Bangs", "Wearing_Lipstick")

_WOMAN = "No_Beard Attractive Wearing_Lipstick Heavy_Makeup Arched_Eyebrows"
_LAUGHS = "Smiling Mouth_Slightly_Open High_Cheekbones"
_PEOPLE = (
    f"Young {_WOMAN} {_LAUGHS} Brown_Hair Wavy_Hair Wearing_Earrings Oval_Face",
    "Young Male No_Beard Black_Hair Straight_Hair Attractive Bushy_Eyebrows",
    f"Young {_WOMAN} Blond_Hair Straight_Hair Pointy_Nose",
    f"Male No_Beard Gray_Hair Big_Nose Bags_Under_Eyes {_LAUGHS} Wearing_Necktie",
    f"Young {_WOMAN} Black_Hair Bangs Big_Lips",
    "Male Young Mustache Goatee Black_Hair 5_o_Clock_Shadow Big_Nose Sideburns",
    f"Young No_Beard Brown_Hair Straight_Hair {_LAUGHS} Rosy_Cheeks",
    "Male No_Beard Eyeglasses Receding_Hairline Big_Nose Straight_Hair",
)


def attributes(n):
    """Attributes `(n, 40)` of 0 and 1 of plausible people, over and over."""
    y = np.zeros((n, len(datasets.CELEBA_ATTRIBUTES)), "float32")
    for row, people in zip(y, _PEOPLE * (n // len(_PEOPLE) + 1), strict=False):
        for name in people.split():
            row[datasets.CELEBA_ATTRIBUTES.index(name)] = 1.0
    return y


def drawn(model, n, seed=0):
    """Faces that a model draws: `(x, condition)`, the condition None where none is used."""
    y = None if model.condition is None else attributes(n)
    # In steps of grey that a file of 8 bits holds too.
    return np.rint(255 * model.sample(n, condition=y, seed=seed)).astype("float32") / 255, y


def are_photographs(data):
    """Whether a data set's pictures may not be shown or kept in a preset."""
    return bool(datasets.info(data).attributes)
