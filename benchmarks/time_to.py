"""Seconds from a cold start to a given validation score on MNIST 0 to 8, of ours and of the other libraries.

    python benchmarks/time_to.py --mnist FOLDER [--bits 1.85] [--limit 120]

Each library runs in a fresh process, and its time includes everything: start, imports, reading, compiling,
training and scoring. Ours is the command `tfp-realnvp train`, which scores all 5,400 validation images after
each epoch. The others score 1,000 of them every 50 steps, so that they can stop sooner. They clip gradients
as we do, and use the batch size and precision that was fastest for them in benchmarks/results.json. The
result is added to that file under `time_to`.
"""

import argparse
import json
import math
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time

import libraries
from libraries import PEERS
from shared import HELD_OUT, RESULTS, learned_digits, make_parser, print_header, print_row

from tfp_realnvp import datasets

VALIDATION = 1000  # images that the others score ...
EVERY = 50  # ... after so many steps
STEPS = 100  # of ours in an epoch: 48,646 images in batches of 512, and ten steps in a call
SCORE = re.compile(r"(epoch|step) (?P<steps>\d+).*validation (?P<bits>[\d.]+|nan|inf)")


def main():
    """Run one library after another and print a line for each."""
    options = read_options()
    if options.child:
        learn(json.loads(options.child), options.mnist)
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    settings = [ours(results), *(fastest(results, peer) for peer in PEERS)]
    chosen = [setting for setting in settings if setting["library"] in options.libraries]
    seconds_title = f"seconds to {options.bits} bits per dimension"
    print_header("library", "precision", "batch", seconds_title, "steps", "best")
    rows = []
    for setting in chosen:
        row = {**setting, **run(setting, options)}
        reached = f"{row['seconds']:.0f}" if row["reached"] else f"not within {options.limit:.0f} s"
        best = "none" if row["best"] is None else f"{row['best']:.3f}"
        steps = f"{row['steps']:,}"
        print_row(row["library"], row["precision"], row["batch_size"], reached, steps, best)
        rows.append(row)
    if not options.no_json:
        results["time_to"] = {"bits": options.bits, "limit": options.limit, "rows": rows}
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def read_options():
    """The command line."""
    parser = make_parser(__doc__, mnist="required")
    parser.add_argument("--bits", type=float, default=1.85)
    parser.add_argument("--limit", type=float, default=120, help="seconds for each library")
    parser.add_argument(
        "--libraries", nargs="+", choices=("ours", *PEERS), default=("ours", *PEERS)
    )
    parser.add_argument("--no-json", action="store_true", help="do not touch results.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def ours(results: dict) -> dict:
    """Our default setting."""
    precision = results.get("hardware", {}).get("default_precision", "float32")
    return {"library": "ours", "precision": precision, "batch_size": 512}


def fastest(results: dict, library: str) -> dict:
    """The setting with which a library trains fastest; float32 and 512 if nothing is known."""
    rates = {
        (row["precision"], batch_size): row[f"train_{batch_size}"]["median"]
        for row in results.get("dense", {}).values()
        for batch_size in (128, 512)
        if row["library"] == library
    }
    precision, batch_size = max(rates, key=rates.get, default=("float32", 512))
    return {"library": library, "precision": precision, "batch_size": batch_size}


def run(setting: dict, options) -> dict:
    """Start a process and follow its scores until they are good enough or the time is over."""
    start = time.monotonic()
    best, steps = math.inf, 0
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command(setting, options.mnist, folder),
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            bufsize=0,  # a line that waits in a buffer would not be seen
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process,
    ):
        try:
            for line in lines_until(process.stdout, start + options.limit):
                found = SCORE.search(line.decode())
                if not found:
                    continue
                steps = int(found["steps"]) * (STEPS if setting["library"] == "ours" else 1)
                best = min(best, float(found["bits"]))  # not a number is never less
                if best <= options.bits:
                    break
            else:
                if process.poll() is not None:
                    errors.seek(0)
                    sys.exit(f"{errors.read()}\n{setting['library']} ended too early, see above.")
        finally:
            process.kill()
        seconds = time.monotonic() - start
    return {
        "reached": best <= options.bits,
        "seconds": seconds,
        "steps": steps,
        "best": best if math.isfinite(best) else None,
    }


def command(setting: dict, mnist: str, folder: str) -> list[str]:
    """The command line of a process: our own command, or this script as a child."""
    if setting["library"] != "ours":
        return [sys.executable, __file__, "--mnist", mnist, "--child", json.dumps(setting)]
    train = (
        f"train --flow realnvp --dataset idx:{mnist} --hold-out {HELD_OUT} --run-dir {folder}/run"
    )
    return ["sh", "-c", f"exec {sys.executable} -m tfp_realnvp {train} 2>&1"]


def lines_until(stream, end: float):
    """The lines of a stream, as long as they come before `end`."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while selector.select(timeout=max(0.0, end - time.monotonic())):
            line = stream.readline()
            if not line:
                return
            yield line


def learn(setting: dict, mnist: str):
    """The child: train without end, and print a score every 50 steps."""
    train, validation = datasets.split(learned_digits(mnist), fraction=0.1)
    images = validation.images[:VALIDATION]

    def report(step, log_prob):
        nats = float(log_prob(images).mean())
        bits = -nats / (images[0].size * math.log(2))
        print(f"step {step}: validation {bits}", flush=True)

    try:
        library = libraries.load(setting["library"])
    except ImportError as error:
        sys.exit(str(error))
    model = library.make("dense", setting["precision"], train.images[:1000])
    model.learn(train.images, batch_size=setting["batch_size"], every=EVERY, report=report)


if __name__ == "__main__":
    main()
