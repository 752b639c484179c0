"""The memory of training from TFRecord files, over the size of the set: a table in Markdown.

    python benchmarks/stored.py [--gigabytes .2 2]

Each set is of random images of 32x32 pixels in three colours, as eight files in a temporary folder, which
needs as much room. Noise does not compress: the files are as large as the images. A process trains a small
flow from them for some seconds by `tfp-realnvp train`; its peak memory counts.
"""

import json
import tempfile
import time

import numpy as np
from shared import make_parser, print_header, print_row, run_command

from tfp_realnvp import datasets

SHAPE = (32, 32, 3)
BLOCK = 100  # images that are drawn together
FILES = 8
TEST = 500
FLOW = ["--channels", "16", "--blocks", "1", "--heads", "0", "--validation", ".001"]


def main():
    """Print the table."""
    parser = make_parser(__doc__, mnist=None)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.2, 2.0])
    parser.add_argument("--seconds", type=int, default=60, help="of each training")
    options = parser.parse_args()
    print_header(
        "files, GB", "images", "a look at each, s", "training, images/s", "peak memory, MB"
    )
    for gigabytes in options.gigabytes:
        count = round(gigabytes * 1e9 / np.prod(SHAPE))
        with tempfile.TemporaryDirectory() as folder:
            write(folder, "train", count)
            write(folder, "test", TEST)
            started = time.perf_counter()
            datasets.load(f"tfrecord:{folder}")
            look = time.perf_counter() - started
            metrics, memory = train(folder, options.seconds + look)
        speed = f"{metrics['images_per_second']:,.0f}"
        print_row(gigabytes, f"{count:,}", f"{look:.0f}", speed, f"{memory:,.0f}")


def write(folder, part, count):
    """Files with so many images."""
    random = np.random.default_rng(0)

    def images():
        for start in range(0, count, BLOCK):
            block = random.integers(256, size=(BLOCK, *SHAPE), dtype=np.uint8)
            yield from block[: count - start]

    labels = (number % 10 for number in range(count))
    datasets.write_tfrecords(images(), labels, folder, part=part, files=FILES)


def train(folder, seconds):
    """(metrics, peak memory in MB) of a process."""
    printed, memory = run_command(
        "train", "--dataset", f"tfrecord:{folder}", *FLOW, "--time-limit", f"{seconds:.0f}s",
        "--run-dir", f"{folder}/run", "--json",
    )  # fmt: skip
    return json.loads(printed), memory


if __name__ == "__main__":
    main()
