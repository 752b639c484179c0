"""nflows (PyTorch)."""

from nflows.distributions import StandardNormal
from nflows.flows import Flow
from nflows.nn.nets import MLP
from nflows.transforms import (
    AffineCouplingTransform,
    CompositeTransform,
    MultiscaleCompositeTransform,
    PiecewiseRationalQuadraticCouplingTransform,
    SqueezeTransform,
)

from libraries import BINS, BOUND, COUPLINGS, HIDDEN, PIXELS, SCALES, SIDE
from libraries.pytorch import ConvResNet, TorchFlow, checkerboard


def make(flow, precision, images):
    """See `libraries`."""
    coupling = _spline_coupling if flow == "spline" else AffineCouplingTransform
    transform, shape = _dense() if flow == "dense" else _convolutional(coupling)
    module = Flow(transform, StandardNormal([PIXELS]))
    return TorchFlow(module, module.log_prob, module.sample, shape=shape, precision=precision)


def _dense():
    couplings = [
        AffineCouplingTransform((checkerboard() + step) % 2, _mlp) for step in range(COUPLINGS)
    ]
    return CompositeTransform(couplings), (PIXELS,)


class _Mlp(MLP):
    """`nflows.nn.nets.MLP`, made to accept the context that couplings pass."""

    def forward(self, inputs, context=None):
        return super().forward(inputs)


def _mlp(inputs, outputs):
    return _Mlp([inputs], [outputs], HIDDEN)


def _spline_coupling(halves, network):
    return PiecewiseRationalQuadraticCouplingTransform(
        halves, network, num_bins=BINS, tails="linear", tail_bound=BOUND
    )


def _convolutional(coupling):
    transform = MultiscaleCompositeTransform(SCALES)
    shape = (1, SIDE, SIDE)
    for _ in range(SCALES):
        squeeze = SqueezeTransform()
        shape = squeeze.get_output_shape(*shape)
        halves = [(index >= shape[0] // 2) for index in range(shape[0])]
        couplings = [
            coupling([int(half ^ step % 2) for half in halves], ConvResNet)
            for step in range(COUPLINGS)
        ]
        shape = transform.add_transform(CompositeTransform([squeeze, *couplings]), shape)
    return transform, (1, SIDE, SIDE)
