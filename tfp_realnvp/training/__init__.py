"""Training runs: what they are told, their folder, their steps."""

import lazy_loader

# TensorFlow is imported when a run begins, and not with the configuration that the command line reads.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
