"""Our flows beside the same flows of other libraries: images per second, as a table in Markdown.

    pip install -e '.[bench]'
    python benchmarks/compare.py [--mnist FOLDER]

Each row is a process of its own. They take turns, so that only one is at work: round after round, job by job,
row by row. The first round warms up and does not count; of the others the table shows the median, and in
brackets the distance between the quartiles as a share of it. The row `limit` does the couplings alone (see
libraries/limit.py). Everything is written to benchmarks/results.json.
"""

import datetime
import json
import os
import statistics
import sys
from pathlib import Path

import machine
from libraries import PEERS
from ratios import print_ratios, ratios, ratios_by_peer, ratios_of_splines
from shared import FOLDER, RESULTS, make_parser, print_header, print_row
from worker import Worker

DENSE = "dense"
CONVOLUTIONAL = "convolutional"
SPLINE = "spline"  # the convolutional one with spline couplings
LIBRARIES = {
    DENSE: ("ours", "command", "bare", "tfp", *PEERS, "limit"),
    CONVOLUTIONAL: ("ours", "nflows", "normflows"),
    SPLINE: ("ours", "nflows", "normflows"),
}
IMAGE_JOBS = {
    "train_32": {"job": "train", "size": 32, "times": 20},
    "log_prob": {"job": "log_prob", "size": 200, "times": 3},
    "sample": {"job": "sample", "size": 200, "times": 3},
}
JOBS = {
    DENSE: {
        "train_512": {"job": "train", "size": 512, "times": 60},
        "train_128": {"job": "train", "size": 128, "times": 120},
        "log_prob": {"job": "log_prob", "size": 1000, "times": 10},
        "sample": {"job": "sample", "size": 1000, "times": 10},
    },
    CONVOLUTIONAL: IMAGE_JOBS,
    SPLINE: IMAGE_JOBS,
}
ONLY_FLOAT32 = ("tfp",)
IN_TENSORFLOW = ("ours", "command", "bare", "tfp", "limit")


def main():
    """Measure, print, write."""
    options = read_options()
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # the processes share the GPU
    if os.getloadavg()[0] > 1:
        print(
            "Other programs are at work on this machine: the numbers will be too low.",
            file=sys.stderr,
        )
    default = machine.default_precision()
    results = {
        "date": datetime.date.today().isoformat(),
        "data": "MNIST, digits 0 to 8" if options.mnist else "synthetic: 80 % black, noise",
        "hardware": {**machine.hardware(), "default_precision": default},
        "versions": machine.versions(),
        "rounds": options.rounds,
        "load_before": os.getloadavg()[0],
    }
    for flow in options.flows:
        results[flow] = measure(flow, default, options)
        print_table(flow, results[flow])
    dense, affine, splines = (results.get(flow, {}) for flow in (DENSE, CONVOLUTIONAL, SPLINE))
    results["ratios"] = ratios(dense, default)
    results["ratios_at_the_limit"] = ratios(dense, default, library="limit")
    results["ratios_by_peer"] = ratios_by_peer(dense, JOBS[DENSE])
    results["ratios_of_splines"] = ratios_of_splines(splines, affine, IMAGE_JOBS)
    print_ratios(results)
    if options.json:
        write(results, options.json)


def read_options():
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a smoke test: short jobs, fewer rows, one round, no file",
    )
    parser.add_argument("--rounds", type=int, help="how many rounds count, 5 by default")
    parser.add_argument(
        "--json", type=Path, help="the file for the results, results.json if all rows are measured"
    )
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    parser.add_argument(
        "--libraries",
        nargs="+",
        choices=LIBRARIES[DENSE],
        default=LIBRARIES[DENSE],
        help="only these rows",
    )
    parser.add_argument(
        "--flows", nargs="+", choices=JOBS, default=list(JOBS), help="only these tables"
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    some = len(options.flows) < len(JOBS) or len(options.libraries) < len(LIBRARIES[DENSE])
    options.json = options.json or (None if options.quick or some else RESULTS)
    return options


def precisions(library: str, flow: str, default: str, quick: bool) -> list[str]:
    """Those in which a library is measured; `default` is the fastest one on this machine."""
    if library in ONLY_FLOAT32 or (quick and library in PEERS):
        return ["float32"]
    if library == "command":
        return [default]
    if quick and (library != "ours" or flow != DENSE):
        return [default]
    return sorted({"float32", default}, reverse=True)


def measure(flow: str, default: str, options) -> dict:
    """Measure all rows of a flow: by name, images per second of each job with quartiles, and more."""
    jobs = JOBS[flow]
    if options.quick:
        jobs = {name: {**job, "times": max(1, job["times"] // 6)} for name, job in jobs.items()}
    workers, rows = {}, {}
    try:
        for library in (name for name in LIBRARIES[flow] if name in options.libraries):
            for precision in precisions(library, flow, default, options.quick):
                name = f"{library} {precision}"
                command = (FOLDER / "worker.py", library, flow, precision, options.mnist)
                workers[name] = Worker(name, *command)
                rows[name] = {"library": library, "precision": precision}
        for name, worker in workers.items():
            rows[name] |= worker.answer()
        rates = {(name, job): [] for name in workers for job in jobs}
        for number in range(options.rounds + 1):
            for job, task in jobs.items():
                for name, worker in workers.items():
                    answer = worker.ask(task)
                    if number:
                        rates[name, job].append(task["size"] / answer["seconds"])
                    else:  # memory after the first job: a training run has one batch size, too
                        rows[name].setdefault("megabytes", answer["megabytes"])
            print(f"{flow}: round {number} of {options.rounds}", file=sys.stderr)
    finally:
        for worker in workers.values():
            worker.close()
    for (name, job), values in rates.items():
        rows[name][job] = summary(values)
    return rows


def summary(rates: list[float]) -> dict:
    """Median and quartiles of images per second."""
    lower, upper = rates[0], rates[0]
    if len(rates) > 1:
        lower, _, upper = statistics.quantiles(rates, n=4, method="inclusive")
    return {"median": statistics.median(rates), "quartiles": [lower, upper]}


def print_table(flow: str, rows: dict):
    """Images per second with their spread, parameters, memory."""
    jobs = JOBS[flow]
    titles = [
        f"training, batch {task['size']}" if task["job"] == "train" else f"`{task['job']}`"
        for task in jobs.values()
    ]
    print(f"\n{flow.capitalize()} flow, images per second:\n")
    print_header("library", "precision", "parameters", *titles, "memory, MB")
    for row in rows.values():
        cells = [describe(row[job]) for job in jobs]
        memory = f"{row['megabytes']:,.0f}" if row["library"] in IN_TENSORFLOW else ""
        print_row(row["library"], row["precision"], f"{row['parameters']:,}", *cells, memory)


def describe(cell: dict) -> str:
    """A median with its spread."""
    lower, upper = cell["quartiles"]
    return f"{cell['median']:,.0f} ({(upper - lower) / cell['median']:.0%})"


def write(results: dict, file: Path):
    """Write the results as JSON; those of time_to.py in that file stay."""
    if file.is_file():
        before = json.loads(file.read_text())
        results |= {key: before[key] for key in ("time_to",) if key in before}
    file.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
