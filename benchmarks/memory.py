"""How much memory many images take, in blocks and all at once: a table in Markdown, and a picture.

    python benchmarks/memory.py --picture docs/memory.png

Each number is of a process of its own, which scores so many images of 28x28 pixels with a default flow and
draws as many: the peak of its memory. It takes fifteen minutes, and 3.5 GB.
"""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
from internals import blocks
from matplotlib.figure import Figure
from shared import make_parser, print_header, print_row

import tfp_realnvp

IMAGE = 28 * 28  # bytes
FLOWS = {"dense": tfp_realnvp.RealNVP, "multi-scale": tfp_realnvp.MultiscaleRealNVP}
# how many images in blocks, and at once
COUNTS = {
    "dense": ([1_000, 10_000, 100_000, 1_000_000], [1_000, 3_000, 10_000]),
    "multi-scale": ([1_000, 3_000, 10_000], [1_000, 3_000, 10_000]),
}


def main():
    """Print the table and draw the picture."""
    parser = make_parser(__doc__, mnist=None)
    parser.add_argument("--picture", type=Path, help="a PNG to write")
    parser.add_argument("--images", type=int, help="only so many, in this process")
    parser.add_argument("--flow", choices=FLOWS, default="dense", help="with --images")
    parser.add_argument("--at-once", action="store_true", help="with --images: not in blocks")
    options = parser.parse_args()
    if options.images:
        if options.at_once:
            blocks.VALUES = sys.maxsize
        print(measure(FLOWS[options.flow], options.images))
        return
    print_header("flow", "images", "in blocks of 1,336, MB", "all at once, MB")
    results = {}
    for flow, (in_blocks, at_once) in COUNTS.items():
        results[flow, "in blocks"], results[flow, "all at once"] = {}, {}
        for count in in_blocks:
            results[flow, "in blocks"][count] = in_new_process(flow, count)
            if count in at_once:
                results[flow, "all at once"][count] = in_new_process(flow, count, "--at-once")
            cells = (results[flow, how].get(count, "") for how in ("in blocks", "all at once"))
            print_row(flow, f"{count:,}", *(cell and f"{cell:,.0f}" for cell in cells))
    if options.picture:
        draw(results).savefig(options.picture, dpi=100)


def in_new_process(flow, count, *flags):
    """The peak of a process's memory in MB."""
    command = [sys.executable, __file__, "--flow", flow, "--images", str(count), *flags]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def measure(make_flow, count):
    """The peak of this process's memory in MB."""
    tfp_realnvp.hardware.use()
    flow = make_flow((28, 28, 1))
    images = np.zeros((count, 28, 28, 1), np.uint8)
    images[:] = np.random.default_rng(0).integers(256, size=images.shape[1:], dtype=np.uint8)
    flow.adapt(images[:100])
    flow.log_prob(images)
    flow.sample(count, seed=0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def draw(results):
    """Memory over the number of images."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    colours = dict(zip(COUNTS, ("C0", "C1"), strict=True))
    for (flow, how), memory in results.items():
        style = "o-" if how == "in blocks" else "x--"
        label = f"{flow} flow, {how}"
        axes.plot(list(memory), list(memory.values()), style, color=colours[flow], label=label)
    counts = list(results["dense", "in blocks"])
    sizes = [count * IMAGE / 2**20 for count in counts]
    axes.plot(counts, sizes, ":", color="0.5", label="the images alone")
    axes.set(xscale="log", yscale="log", xlabel="images scored and drawn", ylabel="memory, MB")
    axes.set_ylim(bottom=300)
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
