"""What `train --goal` gives for what: a table in Markdown.

    python benchmarks/goals.py --mnist FOLDER --time-limit 2m

Each goal is a run on the digits 0 to 8 of MNIST, in processes of its own, with the same time limit. Memory is
the peak of the process that trains; the last row has that of one that only loads TensorFlow and MNIST. Images
per second are those that are drawn, 1,000 at a time, at the median of five.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from internals import GOALS, RunFolder
from shared import make_parser, peak, print_header, print_row, run_command

from tfp_realnvp import datasets, hardware

DRAWN = 1000


def main():
    """Print the table."""
    parser = make_parser(__doc__, mnist="required")
    parser.add_argument("--goals", nargs="+", choices=GOALS, default=list(GOALS), metavar="GOAL")
    parser.add_argument("--time-limit", default="2m", help="of each run; default: 2m")
    parser.add_argument("--options", default="", help="more options of `train`, as one text")
    parser.add_argument("--speed-of", metavar="RUN", help="only that of drawing, in this process")
    options = parser.parse_args()
    if options.speed_of:
        print(drawing_speed(options.speed_of))
        return
    print_header(
        "goal", "parameters", "test, bits per dimension", "training, images/s", "drawing, images/s",
        "model.keras, MB", "memory, MB",
    )  # fmt: skip
    for goal in options.goals:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            metrics, memory = train(goal, run, options)
            speed = in_new_process(__file__, "--mnist", options.mnist, "--speed-of", run)
            print_row(
                goal,
                f"{metrics['parameters']:,}",
                f"{metrics['test']['bits_per_dim']:.3f}",
                f"{metrics['images_per_second']:,.0f}",
                f"{float(speed):,.0f}",
                f"{RunFolder(run).model.stat().st_size / 1e6:.1f}",
                f"{memory:,.0f}",
            )
    datasets.load(f"idx:{options.mnist}")
    print_row("TensorFlow and MNIST alone", *[""] * 5, f"{peak():,.0f}")


def train(goal, run, options):
    """The metrics of a run, and the peak of its memory in MB."""
    command = [
        "train", "--goal", goal, "--dataset", f"idx:{options.mnist}",
        "--hold-out", "9", "--time-limit", options.time_limit, "--run-dir", str(run), "--json",
        *options.options.split(),
    ]  # fmt: skip
    printed, memory = run_command(*command)
    return json.loads(printed), memory


def drawing_speed(run):
    """Images a second."""
    hardware.use()
    flow = RunFolder(run).load_model()
    flow.sample(DRAWN, seed=0)  # compiles
    times = []
    for seed in range(5):
        started = time.perf_counter()
        np.asarray(flow.sample(DRAWN, seed=seed))
        times.append(time.perf_counter() - started)
    return DRAWN / float(np.median(times))


def in_new_process(*command):
    """What it prints."""
    command = [sys.executable, *map(str, command)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
