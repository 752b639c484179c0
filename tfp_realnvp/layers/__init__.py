"""Keras layers of flows: conditioners, normalization of pixels, dequantization noise, mixture of latents."""

import warnings

from tfp_realnvp.layers.cluster_mixture import ClusterMixture
from tfp_realnvp.layers.conv_resnet import ConvResNet
from tfp_realnvp.layers.dense_conditioner import DenseConditioner
from tfp_realnvp.layers.lipschitz_conv_net import LipschitzConvNet
from tfp_realnvp.layers.lipschitz_dense_net import LipschitzDenseNet
from tfp_realnvp.layers.normalization import Normalization
from tfp_realnvp.layers.self_attention import SelfAttention
from tfp_realnvp.layers.transform_parameters import TransformParameters
from tfp_realnvp.layers.variational_dequantization import VariationalDequantization

__all__ = [
    "ClusterMixture",
    "ConvResNet",
    "DenseConditioner",
    "LipschitzConvNet",
    "LipschitzDenseNet",
    "Normalization",
    "SelfAttention",
    "TransformParameters",
    "VariationalDequantization",
]


def __getattr__(name: str):
    if name == "ShiftAndLogScale":
        warnings.warn(
            "`ShiftAndLogScale` is now called `TransformParameters`. The old name goes with version 0.6.",
            FutureWarning,
            stacklevel=2,
        )
        return TransformParameters
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
