"""What it costs to write the state of a run, which `train` does every minute: a table in Markdown.

    python benchmarks/checkpoints.py

The default flows of 28x28 pixels. A state is the weights, their averages and those of the best epoch, and the
optimizer's moments, with checksums. Times are medians of nine; the share is that of a minute of training.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from internals import OPTIONS, RunFolder, RunImages, TrainingConfig, TrainingLoop, build_flow
from shared import load_images, make_parser, print_header, print_row

from tfp_realnvp import datasets, hardware

TIMES = 9


def main():
    """Print the table."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--flows", nargs="+", choices=OPTIONS, default=list(OPTIONS), metavar="FLOW"
    )
    options = parser.parse_args()
    hardware.use()
    images = load_images(options.mnist)[:2000]
    part = datasets.LabelledImages(images, np.zeros(len(images), int))
    data = RunImages(part, part, part, None, 256)
    print_header("flow", "parameters", "state, MB", "seconds", "share of a minute")
    for name in options.flows:
        with tempfile.TemporaryDirectory() as folder:
            config = TrainingConfig(flow=name).resolved(len(images))
            flow, run = build_flow(config, data), RunFolder(folder)
            loop = TrainingLoop(
                config, run, data, flow, started=time.monotonic(), score_test=False, say=print
            )
            seconds = []
            for _ in range(TIMES):
                loop.budget.step += 1  # a state that was written already is not written again
                started = time.perf_counter()
                loop.save_state.remember()
                loop.save_state.write()
                seconds.append(time.perf_counter() - started)
            last = max((Path(folder) / "state").iterdir())
            size = sum(file.stat().st_size for file in last.iterdir()) / 1e6
            median = statistics.median(seconds)
            print_row(
                name,
                f"{flow.count_params():,}",
                f"{size:.1f}",
                f"{median:.2f}",
                f"{median / 60:.1%}",
            )


if __name__ == "__main__":
    main()
