"""Limits of what a SavedModel answers. This module does without TensorFlow."""

__all__ = ["LARGEST_TEMPERATURE", "LOWEST", "MAX_IMAGES"]

MAX_IMAGES = 1024  # of a request, by default
LARGEST_TEMPERATURE = 10.0
LOWEST = -1e30  # log-probability of an image that the model holds for impossible
