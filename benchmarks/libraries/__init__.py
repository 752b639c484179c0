"""The libraries that are compared, one module each.

Each module has a function `make(flow, precision, images)` with

- `flow`: "dense" or "convolutional", the two networks that are compared, with affine couplings; or "spline",
  the convolutional one with spline couplings;
- `precision`: "float32" or "bfloat16", that of the matrix products;
- `images`: uint8 [n, 28, 28, 1], for a flow that is adapted to data before training.

It returns an object with

- `parameters`: how many numbers are learned;
- `train(batches)`: does a training step for each batch of uint8 [steps, n, 28, 28, 1];
- `log_prob(images)`: the log-likelihood of each image in nats, a NumPy array;
- `sample(n)`: n new images, a NumPy array.
"""

import importlib

PEERS = ("nflows", "zuko", "normflows")  # in PyTorch

COUPLINGS = 4  # of the dense flow, and of each scale of the convolutional one
HIDDEN = (512, 512, 512)  # layers of the dense flow's conditioners
SCALES = 2
CHANNELS = 64
BLOCKS = 2
BINS = 8  # of a spline
BOUND = 4.0  # where it ends
LEARNING_RATE = 1e-3
ALPHA = 1e-3  # of the logit before the other libraries' couplings
LEVELS = 256
SIDE = 28
PIXELS = SIDE * SIDE
HALF = PIXELS // 2


def load(name):
    """The module of a library.

    Raises:
      ImportError: the library is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(f"libraries.{name}")
    except ImportError as error:
        raise ImportError(f"{error}. To install it: pip install -e '.[bench]'") from error
