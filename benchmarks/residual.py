"""What a residual flow costs: a table in Markdown.

    python benchmarks/residual.py RUN

Of the model of a run, on its images: how many are scored in a second; the standard error of a score; the share
of the pixels of test images that the way to latents and back leaves as they were; the iterations and seconds in
which 1,000 images are drawn (the median of five); and the memory and time of a training step with 64 images, in
a process of its own.
"""

import subprocess
import sys
import time

import numpy as np
from internals import RunFolder, TrainingConfig, load_images
from shared import make_parser, peak, print_header, print_row

from tfp_realnvp import hardware

DRAWN = 1000
SCORED = 500
ESTIMATED = 100
BATCH = 64
STEPS = 20


def main():
    """Print the table."""
    parser = make_parser(__doc__, mnist=None)
    parser.add_argument("run", metavar="RUN", help="a folder of `train --flow residual`")
    parser.add_argument("--train", action="store_true", help="only training steps, in this process")
    options = parser.parse_args()
    hardware.use()
    run = RunFolder(options.run)
    flow, sets = run.load_model(), load_images(TrainingConfig.from_json(run.read_config()))
    if options.train:
        print(*training(flow, sets.train.images))
        return
    images = sets.test.images[:SCORED]
    print_header("", "")
    print_row("parameters", f"{flow.count_params():,}")
    flow.log_prob(images)  # compiles
    started = time.perf_counter()
    np.asarray(flow.log_prob(images))
    print_row("scoring, images/s", f"{len(images) / (time.perf_counter() - started):,.0f}")
    errors = flow.log_prob_error(images[:ESTIMATED])
    print_row("standard error of an image's score, nats", f"{np.mean(errors):.2f}")
    back = np.asarray(flow.decode(flow.encode(images)))
    print_row("pixels that come back exactly", f"{np.mean(back == images):.4%}")
    latents = flow.draw_latents(DRAWN, 1.0, [0, 0])
    found = flow.inversions(latents)
    steps = [inversion.steps for inversion in found]
    print_row("iterations of a block, mean and most", f"{np.mean(steps):.1f}, {max(steps)}")
    print_row("largest bound of an inverse's error", f"{max(i.error for i in found):.1e}")
    print_row(f"drawing {DRAWN:,} images, seconds", f"{median_seconds(flow):.2f}")
    command = [sys.executable, __file__, options.run, "--train"]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds, memory, before = map(float, printed.split())
    print_row(f"a training step with {BATCH} images, seconds", f"{seconds:.3f}")
    print_row("memory with it, without it, MB", f"{memory:,.0f}, {before:,.0f}")


def median_seconds(flow):
    """Of drawing."""
    np.asarray(flow.sample(DRAWN, seed=0))  # compiles
    times = []
    for seed in range(5):
        started = time.perf_counter()
        np.asarray(flow.sample(DRAWN, seed=seed))
        times.append(time.perf_counter() - started)
    return np.median(times)


def training(flow, images):
    """Seconds of a step, and the peak of memory in MB with and without training."""
    before = peak()
    flow.compile("adam")
    times = []
    for _ in range(STEPS):
        started = time.perf_counter()
        flow.train_on_batch(images[:BATCH])
        times.append(time.perf_counter() - started)
    return np.median(times[3:]), peak(), before


if __name__ == "__main__":
    main()
