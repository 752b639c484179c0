"""Flows: Keras models whose `distribution` is a TFP distribution over images."""

from tfp_realnvp.flows.image_flow import ImageFlow
from tfp_realnvp.flows.multiscale import MultiscaleRealNVP
from tfp_realnvp.flows.realnvp import RealNVP

__all__ = ["BY_NAME", "ImageFlow", "MultiscaleRealNVP", "RealNVP"]

# the names by which `TrainingConfig.flow` knows them
BY_NAME = {"multiscale": MultiscaleRealNVP, "realnvp": RealNVP}
