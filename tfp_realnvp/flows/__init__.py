"""Flows: Keras models whose `distribution` is a TFP distribution over images."""

import lazy_loader

# TensorFlow is imported when the first of the public names, listed in __init__.pyi, is used: the command line
# reads `flows.options` without it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
