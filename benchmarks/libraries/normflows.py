"""normflows (PyTorch), with its faster coupling, `AffineCouplingBlock`."""

import numpy as np
import torch
from normflows import MultiscaleFlow, NormalizingFlow
from normflows.distributions import DiagGaussian
from normflows.flows import AffineCouplingBlock, Merge, Squeeze
from normflows.nets import MLP

from libraries import COUPLINGS, HALF, HIDDEN, PIXELS, SCALES, SIDE
from libraries.pytorch import DEVICE, ConvResNet, TorchFlow, checkerboard


def make(flow, precision, images):
    """See `libraries`."""
    return _dense(precision) if flow == "dense" else _convolutional(precision)


def _dense(precision):
    sizes = [HALF, *HIDDEN, PIXELS]
    module = NormalizingFlow(
        DiagGaussian(PIXELS, trainable=False),
        _couplings(lambda: MLP(sizes, init_zeros=True)),
    )
    # the block splits vectors in the middle: one colour of the checkerboard comes first
    order = np.argsort(checkerboard(), kind="stable")
    there, back = (torch.from_numpy(index).to(DEVICE) for index in (order, np.argsort(order)))
    return TorchFlow(
        module,
        lambda logits: module.log_prob(logits[:, there]),
        lambda n: module.sample(n)[0][:, back],
        shape=(PIXELS,),
        precision=precision,
    )


def _convolutional(precision):
    bases, flows = [], []
    for scale in range(1, SCALES + 1):  # the one next to the image first
        half, side = 2**scale, SIDE // 2**scale
        couplings = _couplings(lambda half=half: ConvResNet(half, 2 * half))
        latents = half if scale < SCALES else 2 * half
        # normflows lists scales and flows from the latents to the image
        flows.insert(0, [*couplings, Squeeze()])
        bases.insert(0, DiagGaussian((latents, side, side), trainable=False))
    merges = [Merge() for _ in range(SCALES - 1)]
    module = MultiscaleFlow(bases, flows, merges, class_cond=False)  # no labels
    return TorchFlow(
        module,
        lambda logits: module.log_prob(logits, None),
        lambda n: module.sample(n)[0],
        shape=(1, SIDE, SIDE),
        precision=precision,
    )


def _couplings(network):
    return [
        AffineCouplingBlock(network(), split_mode="channel_inv" if step % 2 else "channel")
        for step in range(COUPLINGS)
    ]
