"""Questions to a learned distribution: what is missing of an image?"""

import lazy_loader

# TensorFlow is imported when the first of the public names, listed in __init__.pyi, is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
