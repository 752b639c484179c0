"""Keras layers of flows: conditioners, normalization of pixels, learned dequantization noise."""

from tfp_realnvp.layers.conv_resnet import ConvResNet
from tfp_realnvp.layers.dense_conditioner import DenseConditioner
from tfp_realnvp.layers.normalization import Normalization
from tfp_realnvp.layers.shift_and_log_scale import ShiftAndLogScale
from tfp_realnvp.layers.variational_dequantization import VariationalDequantization

__all__ = [
    "ConvResNet",
    "DenseConditioner",
    "Normalization",
    "ShiftAndLogScale",
    "VariationalDequantization",
]
