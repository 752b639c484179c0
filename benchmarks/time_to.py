"""Seconds from a cold start to a given validation score on MNIST 0 to 8, ours beside the other libraries.

    python benchmarks/time_to.py --mnist FOLDER [--bits 1.85] [--limit 120]

Each library is a fresh process; its time holds everything: start, imports, reading, compiling, training and
scoring. Ours is the command `tfp-realnvp train`, which scores all 5,400 validation images after each epoch;
the others score 1,000 of them every 50 steps, so that they are noticed sooner. They clip gradients as we do,
and have the batch size and precision that was fastest for them in benchmarks/results.json, where the result is
added under `time_to`.
"""

import argparse
import importlib
import json
import math
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
PEERS = ("nflows", "zuko", "normflows")
HELD_OUT = 9
VALIDATION = 1000
EVERY = 50
STEPS = 100  # of ours in an epoch of 48,646 images, in batches of 512: to the nearest ten
SCORE = re.compile(r"(epoch|step) (?P<steps>\d+).*validation (?P<bits>[\d.]+|nan|inf)")
INSTALL = "pip install -e '.[bench]'"


def main():
    """Run one library after another and print a line for each."""
    options = read_options()
    if options.child:
        learn(json.loads(options.child), options.mnist)
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    settings = [ours(results), *(fastest(results, peer) for peer in PEERS)]
    chosen = [setting for setting in settings if setting["library"] in options.libraries]
    print(
        f"| library | precision | batch | seconds to {options.bits} bits per dimension | steps | best |"
    )
    print("|---|---|---|---|---|---|")
    rows = []
    for setting in chosen:
        row = {**setting, **run(setting, options)}
        reached = f"{row['seconds']:.0f}" if row["reached"] else f"not within {options.limit:.0f} s"
        best = "none" if row["best"] is None else f"{row['best']:.3f}"
        print(
            f"| {row['library']} | {row['precision']} | {row['batch_size']} | {reached} "
            f"| {row['steps']:,} | {best} |",
            flush=True,
        )
        rows.append(row)
    if not options.no_json:
        results["time_to"] = {"bits": options.bits, "limit": options.limit, "rows": rows}
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def read_options():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bits", type=float, default=1.85)
    parser.add_argument("--limit", type=float, default=120, help="seconds for each library")
    parser.add_argument(
        "--mnist",
        default=os.environ.get("MNIST_DIR"),
        required="MNIST_DIR" not in os.environ,
        help="folder with the four idx files",
    )
    parser.add_argument(
        "--libraries", nargs="+", choices=("ours", *PEERS), default=("ours", *PEERS)
    )
    parser.add_argument("--no-json", action="store_true", help="do not touch results.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def ours(results: dict) -> dict:
    """Our default."""
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
    """What is typed: our own command, or this script as a child."""
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
    """The child: train for ever, and print a score every 50 steps."""
    from tfp_realnvp import datasets  # noqa: PLC0415  (does not import TensorFlow)

    digits = datasets.load(f"idx:{mnist}").train.without([HELD_OUT])
    train, validation = datasets.split(digits, fraction=0.1)
    images = validation.images[:VALIDATION]

    def report(step, log_prob):
        nats = float(log_prob(images).mean())
        bits = -nats / (images[0].size * math.log(2))
        print(f"step {step}: validation {bits}", flush=True)

    try:
        library = importlib.import_module(f"libraries.{setting['library']}")
    except ImportError as error:
        sys.exit(f"{error}. It is installed by: {INSTALL}")
    model = library.make("dense", setting["precision"], train.images[:1000])
    model.learn(train.images, batch_size=setting["batch_size"], every=EVERY, report=report)


if __name__ == "__main__":
    main()
