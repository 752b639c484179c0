"""What the input and the callbacks of `train` take: their share of an epoch, as a table in Markdown.

    python benchmarks/overhead.py [--mnist FOLDER]

A dense flow is trained by turns, in one process: by `fit` alone, on batches that are ready (libraries/ours.py),
and as `tfp-realnvp train` does it, with shuffled input, averaged weights, progress and what ends a run in time
(libraries/command.py). The first round warms up; of the others the table shows the medians. A share is that
of a round, whose two halves are seconds apart.
"""

import argparse
import os
import statistics

from libraries.command import Command
from libraries.ours import Ours, make_flow
from worker import load_images, work

from tfp_realnvp import hardware

STEPS = {128: 60, 512: 30}  # of a round


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist", default=os.environ.get("MNIST_DIR"), help="with the idx files")
    parser.add_argument("--rounds", type=int, default=15, help="that count, 15 by default")
    options = parser.parse_args()
    images = load_images(options.mnist)
    hardware.use()
    flow = make_flow("dense", hardware.default_precision().removeprefix("mixed_"))
    flow.adapt(images[:1000])
    ways = (Ours(flow), Command(flow))
    print("| batch | step, ms | with input and callbacks, ms | their share |")
    print("|---|---|---|---|")
    for size, steps in STEPS.items():
        job = {"job": "train", "size": size, "times": steps}
        rounds = [[work(way, images, **job) for way in ways] for _ in range(options.rounds + 1)][1:]
        alone, whole = (1000 * statistics.median(way) for way in zip(*rounds, strict=True))
        share = statistics.median(1 - alone / whole for alone, whole in rounds)
        print(f"| {size} | {alone:.1f} | {whole:.1f} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    main()
