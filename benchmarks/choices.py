"""How long a training step of the dense flow takes in the ways from which `tfp_realnvp.hardware` chose.

    python benchmarks/choices.py [--mnist FOLDER] [--precision bfloat16]

Two shards with ten steps in each call from Python are what `train` does on a CPU of two cores; they are the
first row of the table in Markdown. Each row is a process of its own. The processes take turns, round after
round. The first round warms up and does not count; of the others the table shows the median, and its ratio to
that of the first row.
"""

import argparse
import json
import statistics
import sys

from internals import OPTIONS
from libraries import LEARNING_RATE
from libraries.ours import Ours, make_flow
from shared import load_images, make_parser, print_header, print_row
from worker import Worker, open_answers, serve

from tfp_realnvp import hardware
from tfp_realnvp.optimizers import Adam

TEN = OPTIONS["realnvp"].steps_per_call
WAYS = {
    "shards": {"shards": 2, "xla": False, "steps": TEN},
    "shards, a step a call": {"shards": 2, "xla": False, "steps": 1},
    "shards, XLA": {"shards": 2, "xla": True, "steps": TEN},
    "TensorFlow's own threads": {"shards": 1, "xla": False, "steps": TEN},
    "TensorFlow's own threads, XLA": {"shards": 1, "xla": True, "steps": TEN},
}
STEPS = {128: 60, 512: 30}  # training steps in a round, by batch size


def main():
    """Print the table, or be one of the processes."""
    options = read_options()
    if options.child:
        images, way = load_images(options.mnist), json.loads(options.child)
        serve(lambda: make(way, options.precision, images[:1000]), images, open_answers())
        return
    print_header("", *(f"batch {size}, ms | of the first" for size in STEPS))
    arguments = ["--precision", options.precision]
    arguments += ["--mnist", options.mnist] if options.mnist else []
    workers = {
        name: Worker(name, __file__, "--child", json.dumps(WAYS[name]), *arguments)
        for name in options.ways
    }
    try:
        times = measure(list(workers.values()), options)
    finally:
        for worker in workers.values():
            worker.close()
    for number, name in enumerate(workers):
        cells = [
            f"{times[size][number]:.1f} | {times[size][number] / times[size][0]:.2f}"
            for size in STEPS
        ]
        print_row(name, *cells)


def read_options():
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds count")
    parser.add_argument(
        "--ways", nargs="+", choices=WAYS, default=list(WAYS), help="only these rows"
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test: a third of the steps")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def make(way, precision, images):
    """Our flow, to be trained in this way."""
    hardware.use("cpu", shards=way["shards"])
    flow = make_flow("dense", precision)
    flow.compile(Adam(LEARNING_RATE), steps_per_execution=way["steps"], jit_compile=way["xla"])
    flow.adapt(images)
    return Ours(flow)


def measure(workers, options):
    """Milliseconds of a step by batch size: a list with the median of each worker."""
    for worker in workers:
        worker.answer()
    seconds = {size: [[] for _ in workers] for size in STEPS}
    for number in range(options.rounds + 1):
        for size, steps in STEPS.items():
            times = steps // 3 if options.quick else steps
            job = {"job": "train", "size": size, "times": times}
            for worker, taken in zip(workers, seconds[size], strict=True):
                answer = worker.ask(job)
                if number:
                    taken.append(1000 * answer["seconds"])
        print(f"round {number} of {options.rounds}", file=sys.stderr)
    return {size: [statistics.median(taken) for taken in rows] for size, rows in seconds.items()}


if __name__ == "__main__":
    main()
