"""What a training step of the dense flow takes in the ways that `tfp_realnvp.hardware` chose from, as a table.

    python benchmarks/choices.py [--mnist FOLDER] [--precision bfloat16]

Shards, ten steps a call, are what `train` does on a CPU of two cores. Each row is a process of its own; they
take turns, round after round. The first round warms up; of the others the table shows the medians, and the
share of the first row's time.
"""

import argparse
import json
import os
import statistics
import sys

from compare import Worker
from libraries import LEARNING_RATE
from libraries.ours import Ours, make_flow
from worker import load_images, open_answers, serve

from tfp_realnvp import hardware
from tfp_realnvp.optimizers import Adam
from tfp_realnvp.training.session import STEPS_A_CALL

TEN = STEPS_A_CALL["realnvp"]
WAYS = {
    "shards": {"shards": True, "xla": False, "steps": TEN},
    "shards, a step a call": {"shards": True, "xla": False, "steps": 1},
    "shards, XLA": {"shards": True, "xla": True, "steps": TEN},
    "TensorFlow's own threads": {"shards": False, "xla": False, "steps": TEN},
    "TensorFlow's own threads, XLA": {"shards": False, "xla": True, "steps": TEN},
}
STEPS = {128: 60, 512: 30}  # of a round


def main():
    """Print the table, or be one of the processes."""
    options = read_options()
    if options.child:
        images, way = load_images(options.mnist), json.loads(options.child)
        serve(lambda: make(way, options.precision, images[:1000]), images, open_answers())
        return
    print("| | " + " | ".join(f"batch {size}, ms | of the first" for size in STEPS) + " |")
    print("|---" * (1 + 2 * len(STEPS)) + "|")
    arguments = ["--precision", options.precision]
    arguments += ["--mnist", options.mnist] if options.mnist else []
    workers = {
        name: Worker(name, __file__, "--child", json.dumps(WAYS[name]), *arguments)
        for name in options.ways
    }
    try:
        times = measure(list(workers.values()), options.rounds)
    finally:
        for worker in workers.values():
            worker.close()
    for number, name in enumerate(workers):
        cells = [
            f"{times[size][number]:.1f} | {times[size][number] / times[size][0]:.2f}"
            for size in STEPS
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


def read_options():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist", default=os.environ.get("MNIST_DIR"), help="with the idx files")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=5, help="that count, 5 by default")
    parser.add_argument(
        "--ways", nargs="+", choices=WAYS, default=list(WAYS), help="only these; all by default"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def make(way, precision, images):
    """Our flow, to be trained in this way."""
    if way["shards"]:
        hardware.use()
    flow = make_flow("dense", precision)
    flow.compile(Adam(LEARNING_RATE), steps_per_execution=way["steps"], jit_compile=way["xla"])
    flow.adapt(images)
    return Ours(flow)


def measure(workers, rounds):
    """Milliseconds of a step by batch size: a list, one for each worker."""
    for worker in workers:
        worker.answer()
    seconds = {size: [[] for _ in workers] for size in STEPS}
    for number in range(rounds + 1):
        for size, steps in STEPS.items():
            job = {"job": "train", "size": size, "times": steps}
            for worker, taken in zip(workers, seconds[size], strict=True):
                answer = worker.ask(job)
                if number:
                    taken.append(1000 * answer["seconds"])
        print(f"round {number} of {rounds}", file=sys.stderr)
    return {size: [statistics.median(taken) for taken in rows] for size, rows in seconds.items()}


if __name__ == "__main__":
    main()
