"""Normalizing flows for images: learn a distribution of images, draw from it, score with it, export it."""

import importlib
import sys

import lazy_loader
import wrapt

from tfp_realnvp.hardware.amx import avoid_broken_amx

avoid_broken_amx()
del avoid_broken_amx

# The public names are listed in __init__.pyi; TensorFlow is imported when the first of them is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


@wrapt.when_imported("keras")
def _register_flows(_):
    """Register the flows with Keras: `keras.saving.load_model` finds them after `import tfp_realnvp` alone."""
    ours = {
        name
        for name in sys.modules
        if name.startswith(("tfp_realnvp.flows.", "tfp_realnvp.layers"))
    }
    # otherwise one of these is importing Keras now, and may not be imported in a circle
    if ours <= {"tfp_realnvp.flows.options", "tfp_realnvp.flows.checked_fields"}:
        importlib.import_module("tfp_realnvp.flows.all_flows")
