"""Training runs: their configuration, their folder, and the loop that trains."""

import lazy_loader

# TensorFlow is imported when a run begins; the command line reads the configuration without it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
