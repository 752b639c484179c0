"""normflows (PyTorch), with the faster of its affine couplings, `AffineCouplingBlock`."""

import numpy as np
import torch
from normflows import MultiscaleFlow, NormalizingFlow
from normflows.distributions import DiagGaussian
from normflows.flows import AffineCouplingBlock, Flow, Merge, Squeeze
from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling
from normflows.nets import MLP

from libraries import BINS, BOUND, COUPLINGS, HALF, HIDDEN, PIXELS, SCALES, SIDE
from libraries.pytorch import DEVICE, ConvResNet, TorchFlow, checkerboard


def make(flow, precision, images):
    """See `libraries`."""
    if flow == "dense":
        return _dense(precision)
    couplings = _spline_couplings if flow == "spline" else _convolutional_couplings
    return _convolutional(couplings, precision)


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


def _convolutional(couplings, precision):
    bases, flows = [], []
    for scale in range(1, SCALES + 1):  # the one next to the image first
        half, side = 2**scale, SIDE // 2**scale
        latents = half if scale < SCALES else 2 * half
        # normflows lists scales and flows from the latents to the image
        flows.insert(0, [*couplings(half), Squeeze()])
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


def _convolutional_couplings(half):
    return _couplings(lambda: ConvResNet(half, 2 * half))


def _spline_couplings(half):
    channels = torch.arange(2 * half)
    return [_SplineCoupling((channels < half) == bool(step % 2)) for step in range(COUPLINGS)]


class _SplineCoupling(Flow):
    """A coupling in the direction of normflows, as its own `CoupledRationalQuadraticSpline`, but of images."""

    def __init__(self, mask):
        super().__init__()
        self._coupling = PiecewiseRationalQuadraticCoupling(
            mask.int(), ConvResNet, num_bins=BINS, tails="linear", tail_bound=BOUND
        )

    def forward(self, z):
        return self._coupling.inverse(z)

    def inverse(self, z):
        return self._coupling.forward(z)


def _couplings(network):
    return [
        AffineCouplingBlock(network(), split_mode="channel_inv" if step % 2 else "channel")
        for step in range(COUPLINGS)
    ]
