"""Few-shot transfer: from a few images of something that a flow never saw to more of it."""

import lazy_loader

# The public names are listed in __init__.pyi; TensorFlow is imported when one that needs it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
