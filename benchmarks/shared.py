"""What the benchmarks share: their command line, their images, their tables.

It does not import TensorFlow, so that the processes of the PyTorch libraries are without it. Importing
`tfp_realnvp` matters to them, too: where AMX is broken, it keeps oneDNN, which PyTorch also uses, from using
it.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from tfp_realnvp import datasets

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"  # of compare.py and time_to.py
HELD_OUT = 9  # the digit of MNIST that is not learned
IMAGES = 10_240


def make_parser(description, *, mnist="optional"):
    """A command line with --help, and with --mnist unless `mnist` is None; "required" insists on it."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if mnist:
        default = os.environ.get("MNIST_DIR") or None
        parser.add_argument(
            "--mnist",
            metavar="FOLDER",
            default=default,
            required=mnist == "required" and default is None,
            help="with the four idx files; default: the environment variable MNIST_DIR",
        )
    return parser


def learned_digits(mnist, split="train"):
    """The digits 0 to 8 of MNIST, from a folder with the idx files."""
    return getattr(datasets.load(f"idx:{mnist}"), split).without([HELD_OUT])


def load_images(mnist=None):
    """uint8 [10240, 28, 28, 1]: digits of MNIST, or, without its folder, noise of which 80 % is black."""
    if mnist:
        return learned_digits(mnist).images[:IMAGES]
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(IMAGES, 28, 28, 1), dtype=np.uint8)
    images[rng.random(images.shape) < 0.8] = 0
    return images


# a command of ours, and then the peak of its memory
CHILD = """
import sys
sys.path.insert(0, FOLDER)
from shared import peak
from tfp_realnvp import cli
try:
    cli.main(sys.argv[1:])
finally:
    print(peak())
""".replace("FOLDER", repr(str(FOLDER)))


def run_command(*arguments):
    """(what `tfp-realnvp` prints, the peak of its memory in MB), in a process of its own."""
    command = [sys.executable, "-c", CHILD, *map(str, arguments)]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    printed, memory = process.stdout.rsplit("\n", 2)[:2]
    return printed, float(memory)


def peak():
    """Of this process's memory, in MB; `getrusage` would give its parent's, if that had more."""
    [line] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) / 1024


def print_header(*titles):
    """The first two lines of a table in Markdown."""
    print_row(*titles)
    print("|---" * len(titles) + "|", flush=True)


def print_row(*cells):
    """A row of the table, at once: the next one may take minutes."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
