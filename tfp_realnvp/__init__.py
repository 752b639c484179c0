"""Normalizing flows for images: learn a distribution of images, draw from it, score with it, export it."""

import lazy_loader

from tfp_realnvp.hardware.amx import avoid_broken_amx

avoid_broken_amx()
del avoid_broken_amx

# The public names are listed in __init__.pyi; TensorFlow is imported when the first of them is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
