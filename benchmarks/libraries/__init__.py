"""The libraries that are compared, one module each.

Each module has a function `make(flow, precision, images)` with

- `flow`: "dense" or "convolutional", the two networks that are compared;
- `precision`: "float32" or "bfloat16", that of the matrix products;
- `images`: uint8 [n, 28, 28, 1], for a flow that takes its start from data.

What it returns has

- `parameters`: how many numbers are learned;
- `train(batches)`: a training step for each batch of uint8 [steps, n, 28, 28, 1];
- `log_prob(images)`: nats of each image, a NumPy array;
- `sample(n)`: n new images, a NumPy array.
"""

import itertools

COUPLINGS = 4  # of the dense flow, and of each scale of the convolutional one
HIDDEN = (512, 512, 512)  # layers of the dense flow's conditioners
SCALES = 2
CHANNELS = 64
BLOCKS = 2
LEARNING_RATE = 1e-3
ALPHA = 1e-3  # of the logit before the other libraries' couplings
LEVELS = 256
SIDE = 28
PIXELS = SIDE * SIDE
HALF = PIXELS // 2


def layer_sizes() -> list[tuple[int, int]]:
    """(inputs, outputs) of the layers of a conditioner that sees half of the pixels."""
    return list(itertools.pairwise((HALF, *HIDDEN, PIXELS)))
