"""What share of an epoch the input and the callbacks of `train` take, as a table in Markdown.

    python benchmarks/overhead.py [--mnist FOLDER]

A dense flow is trained in two ways by turns, in one process: by `fit` alone on prepared batches
(libraries/ours.py), and as `tfp-realnvp train` does it, with shuffled input, averaged weights, progress and
the time limit (libraries/command.py). The first round warms up and does not count; of the others the table
shows the medians. Each share compares the two times of one round, which are seconds apart.
"""

import statistics

from libraries.command import Command
from libraries.ours import Ours, make_flow
from shared import load_images, make_parser, print_header, print_row
from worker import work

from tfp_realnvp import hardware

STEPS = {128: 60, 512: 30}  # training steps in a round, by batch size


def main():
    """Print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how many rounds count")
    parser.add_argument("--quick", action="store_true", help="a smoke test: a third of the steps")
    options = parser.parse_args()
    images = load_images(options.mnist)
    hardware.use()
    flow = make_flow("dense", hardware.default_precision().removeprefix("mixed_"))
    flow.adapt(images[:1000])
    ways = (Ours(flow), Command(flow))
    print_header("batch", "step, ms", "with input and callbacks, ms", "their share")
    for size, steps in STEPS.items():
        times = steps // 3 if options.quick else steps
        job = {"job": "train", "size": size, "times": times}
        rounds = [[work(way, images, **job) for way in ways] for _ in range(options.rounds + 1)][1:]
        alone, whole = (1000 * statistics.median(way) for way in zip(*rounds, strict=True))
        share = statistics.median(1 - alone / whole for alone, whole in rounds)
        print_row(size, f"{alone:.1f}", f"{whole:.1f}", f"{share:.1%}")


if __name__ == "__main__":
    main()
