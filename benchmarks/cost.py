"""What a multi-scale flow costs against image size, scales, couplings and channels: a table in Markdown.

    python benchmarks/cost.py

Each row is a process of its own. Images per second are medians. Memory is the process's peak less what it
used before the flow was made. "On paper" is the arithmetic of the convolutions in a training step for one
image: two operations for each weight at each position, and twice as many for the gradients.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from shared import make_parser, print_header, print_row

CASES = (
    # image shape, scales, couplings, channels
    ((8, 8, 1), 2, 4, 64),
    ((14, 14, 1), 1, 4, 64),
    ((28, 28, 1), 1, 4, 64),
    ((28, 28, 1), 2, 4, 64),
    ((28, 28, 1), 2, 2, 64),
    ((28, 28, 1), 2, 8, 64),
    ((28, 28, 1), 2, 4, 16),
    ((28, 28, 1), 2, 4, 32),
    ((28, 28, 1), 2, 4, 128),
    ((32, 32, 3), 2, 4, 64),
    ((64, 64, 3), 2, 4, 64),
)
TITLES = (
    "images",
    "scales",
    "couplings",
    "channels",
    "parameters",
    "on paper, MFLOP",
    "training, images/s",
    "scoring",
    "sampling",
    "memory, MB",
)
BATCH = 32
STEPS = 15


def measure(image_shape, scales, couplings, channels):
    """Parameters, arithmetic, images per second and memory of one flow."""
    import numpy as np  # noqa: PLC0415  (the parent process does not need it)

    from tfp_realnvp import MultiscaleRealNVP, hardware  # noqa: PLC0415
    from tfp_realnvp.optimizers import Adam  # noqa: PLC0415

    hardware.use()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    images = np.random.default_rng(0).integers(256, size=(BATCH, *image_shape), dtype=np.uint8)
    flow = MultiscaleRealNVP(
        image_shape,
        scales=scales,
        couplings=couplings,
        channels=channels,
        dtype=hardware.default_precision(),
    )
    flow.compile(Adam(1e-4, global_clipnorm=1.0))
    flow.adapt(images)

    def rate(step):
        step()
        seconds = []
        for _ in range(STEPS):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        return BATCH / statistics.median(seconds)

    return {
        "parameters": flow.count_params(),
        "operations": operations(flow),
        "training": rate(lambda: flow.train_on_batch(images)),
        "scoring": rate(lambda: flow.log_prob(images).numpy()),
        "sampling": rate(lambda: flow.sample(BATCH, seed=0).numpy()),
        "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def operations(flow):
    """The operations of the convolutions in a training step for one image."""
    height, width, _ = flow.image_shape
    total = 0
    for number, conditioner in enumerate(flow.conditioners):
        scale = min(number // flow.couplings + 1, flow.scales)
        positions = (height // 2**scale) * (width // 2**scale)
        weights = [weight for weight in conditioner.weights if weight.name == "kernel"]
        total += 6 * positions * sum(weight.shape.num_elements() for weight in weights)
    return total


def main():
    """Print the table, a line as soon as it is measured."""
    parser = make_parser(__doc__, mnist=None)
    parser.add_argument("--rows", type=int, default=len(CASES), help="only the first so many")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(*json.loads(options.case))))
        return
    print_header(*TITLES)
    for case in CASES[: options.rows]:
        process = subprocess.run(
            [sys.executable, __file__, "--case", json.dumps(case)],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            check=True,
            capture_output=True,
            text=True,
        )
        row = json.loads(process.stdout.splitlines()[-1])
        image_shape, scales, couplings, channels = case
        rates = (row["training"], row["scoring"], row["sampling"], row["megabytes"])
        print_row(
            "x".join(map(str, image_shape)),
            scales,
            couplings,
            channels,
            f"{row['parameters']:,}",
            f"{row['operations'] / 1e6:,.0f}",
            *(f"{rate:,.0f}" for rate in rates),
        )


if __name__ == "__main__":
    main()
