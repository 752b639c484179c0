"""Scoring and drawing that outgrow a machine: Apache Beam pipelines around a SavedModel."""

import lazy_loader

# The public names are listed in __init__.pyi; Apache Beam is imported when one of them is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
