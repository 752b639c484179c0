"""zuko (PyTorch), which has no convolutional flow."""

import torch
from zuko.distributions import DiagNormal
from zuko.flows import Flow, GeneralCouplingTransform, UnconditionalDistribution

from libraries import COUPLINGS, HIDDEN, PIXELS
from libraries.pytorch import TorchFlow, checkerboard


def make(flow, precision, images):
    """See `libraries`."""
    # what `zuko.flows.RealNVP` builds, with a checkerboard of two dimensions
    transforms = [
        GeneralCouplingTransform(
            PIXELS, mask=checkerboard() == step % 2, hidden_features=list(HIDDEN)
        )
        for step in range(COUPLINGS)
    ]
    zeros = torch.zeros(PIXELS)
    base = UnconditionalDistribution(DiagNormal, zeros, zeros + 1, buffer=True)
    module = Flow(transforms, base)
    return TorchFlow(
        module,
        lambda logits: module().log_prob(logits),
        lambda n: module().sample((n,)),
        shape=(PIXELS,),
        precision=precision,
    )
