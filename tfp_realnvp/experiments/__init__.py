"""Experiments: from a data set to a report, by one command."""

import lazy_loader

# TensorFlow is imported when an experiment begins; the command line reads the configuration without it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
