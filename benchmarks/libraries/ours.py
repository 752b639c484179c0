"""tfp_realnvp, as its users call it."""

from internals import OPTIONS

from libraries import BINS, BLOCKS, BOUND, CHANNELS, COUPLINGS, HIDDEN, LEARNING_RATE, SCALES
from libraries.inputs import as_dataset
from tfp_realnvp import MultiscaleRealNVP, RealNVP, hardware
from tfp_realnvp.optimizers import Adam
from tfp_realnvp.transforms import Affine, RationalQuadraticSpline


def make(flow, precision, images):
    """See `libraries`."""
    hardware.use()
    return Ours(make_flow(flow, precision))


def make_flow(flow, precision):
    """The flow itself, compiled with as many steps in a call as the command `train` does."""
    dtype = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
    shape = (28, 28, 1)
    name = "realnvp" if flow == "dense" else "multiscale"
    if flow == "dense":
        model = RealNVP(
            shape,
            couplings=COUPLINGS,
            depth=len(HIDDEN) + 1,
            width=HIDDEN[0],
            activation="relu",
            dtype=dtype,
        )
    else:
        model = MultiscaleRealNVP(
            shape,
            scales=SCALES,
            couplings=COUPLINGS,
            channels=CHANNELS,
            blocks=BLOCKS,
            transform=RationalQuadraticSpline(bins=BINS, bound=BOUND)
            if flow == "spline"
            else Affine(),
            extra_couplings=0,
            heads=0,
            dtype=dtype,
        )
    model.compile(Adam(LEARNING_RATE), steps_per_execution=OPTIONS[name].steps_per_call)
    return model


class Ours:
    """A flow of ours with the methods that `libraries` lists."""

    def __init__(self, flow):
        self.flow = flow
        self.parameters = sum(weight.shape.num_elements() for weight in flow.trainable_variables)

    def train(self, batches):
        """By `fit`."""
        self.flow.fit(as_dataset(batches), epochs=1, shuffle=False, verbose=0)

    def log_prob(self, images):
        """Nats of each image."""
        return self.flow.log_prob(images).numpy()

    def sample(self, n):
        """New images."""
        return self.flow.sample(n, seed=0).numpy()
