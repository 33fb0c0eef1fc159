"""Papers by name: functions that compose the parts of a model.

A new paper is a function with the decorator `register.paper`, in the file that says what
it changes. Importing the file adds it to the register.
"""

# ruff: noqa: F401, F403

from keras_vae.models.papers.adversarial import *
from keras_vae.models.papers.autoencoders import *
from keras_vae.models.papers.by_latents import *
from keras_vae.models.papers.by_likelihood import *
from keras_vae.models.papers.by_objective import *
from keras_vae.models.papers.by_posterior import *
from keras_vae.models.papers.by_prior import *
from keras_vae.models.papers.diffusers import *
from keras_vae.models.papers.plain import *
from keras_vae.models.papers.register import PAPERS, Paper, catalogue

__all__ = sorted(PAPERS)
