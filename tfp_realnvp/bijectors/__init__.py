"""The bijectors that flows chain, beside those of TFP. Forward is from latent to image."""

from tfp_realnvp.bijectors.coupling import Coupling

__all__ = ["Coupling"]
