"""The bijectors that flows chain, beside those of TFP. Forward is from latent to image."""

from tfp_realnvp.bijectors.actnorm import ActNorm
from tfp_realnvp.bijectors.couplings import Couplings
from tfp_realnvp.bijectors.elementwise import Elementwise
from tfp_realnvp.bijectors.estimated_chain import EstimatedChain
from tfp_realnvp.bijectors.partial import Partial
from tfp_realnvp.bijectors.reorder import Reorder
from tfp_realnvp.bijectors.residual import Residual
from tfp_realnvp.bijectors.squeeze import Squeeze
from tfp_realnvp.bijectors.tone_curve import ToneCurve
from tfp_realnvp.bijectors.up_to_date import UpToDate

__all__ = [
    "ActNorm",
    "Couplings",
    "Elementwise",
    "EstimatedChain",
    "Partial",
    "Reorder",
    "Residual",
    "Squeeze",
    "ToneCurve",
    "UpToDate",
]
