"""Our flows beside the same flows of other libraries: images per second, as a table in Markdown.

    pip install -e '.[bench]'
    python benchmarks/compare.py [--mnist FOLDER]

Each row is a process of its own. They take turns: round after round, job by job, row by row, one at a time.
The first round warms up and does not count; of the others the table shows the median, and the distance
between the quartiles in percent of it. The row `limit` does the couplings alone (see libraries/limit.py),
`products` their matrix products alone. Everything is written to benchmarks/results.json.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import tfp_realnvp  # noqa: F401  (where AMX is broken it limits oneDNN, that of PyTorch, too)

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
PEERS = ("nflows", "zuko", "normflows")
DENSE = "dense"
CONVOLUTIONAL = "convolutional"
LIBRARIES = {
    DENSE: ("ours", "command", "bare", "tfp", *PEERS, "limit", "products"),
    CONVOLUTIONAL: ("ours", "nflows", "normflows"),
}
JOBS = {
    DENSE: {
        "train_512": {"job": "train", "size": 512, "times": 60},
        "train_128": {"job": "train", "size": 128, "times": 120},
        "log_prob": {"job": "log_prob", "size": 1000, "times": 10},
        "sample": {"job": "sample", "size": 1000, "times": 10},
    },
    CONVOLUTIONAL: {
        "train_32": {"job": "train", "size": 32, "times": 20},
        "log_prob": {"job": "log_prob", "size": 200, "times": 3},
        "sample": {"job": "sample", "size": 200, "times": 3},
    },
}
ONLY_FLOAT32 = ("tfp",)
IN_BFLOAT16 = "ours bfloat16 vs best peer bfloat16"
IN_TENSORFLOW = ("ours", "command", "bare", "tfp", "limit")
PACKAGES = (
    "tfp-realnvp",
    "tensorflow",
    "keras",
    "tensorflow-probability",
    "torch",
    *PEERS,
    "numpy",
)


class Worker:
    """A process that does jobs, by `worker.serve`.

    Args:
      name: of its row.
      *command: a script and its arguments; those that are None are left out.
    """

    def __init__(self, name: str, *command: str | Path | None):
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (see `close`)
        self._process = subprocess.Popen(
            [sys.executable, *filter(None, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ask(self, job: dict) -> dict:
        """Have a job done."""
        with contextlib.suppress(BrokenPipeError):  # `answer` says why
            print(json.dumps(job), file=self._process.stdin, flush=True)
        return self.answer()

    def answer(self) -> dict:
        """The next line; ends the program, with what the process said, if there is none."""
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            sys.exit(f"{self._errors.read()}\n{self.name} has died; above is what it said.")
        content = json.loads(line)
        if "error" in content:
            sys.exit(content["error"])
        return content

    def close(self):
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._errors.close()


def main():
    """Measure, print, write."""
    options = read_options()
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # the processes share the GPU
    if os.getloadavg()[0] > 1:
        print(
            "Other programs are at work on this machine: the numbers will be off.", file=sys.stderr
        )
    default = default_precision()
    results = {
        "date": datetime.date.today().isoformat(),
        "data": "MNIST, digits 0 to 8" if options.mnist else "synthetic: 80 % black, noise",
        "hardware": {**hardware(), "default_precision": default},
        "versions": versions(),
        "rounds": options.rounds,
        "load_before": os.getloadavg()[0],
    }
    for flow in (DENSE, CONVOLUTIONAL):
        results[flow] = measure(flow, default, options)
        print_table(flow, results[flow])
    results["ratios"] = ratios(results[DENSE], default)
    results["ratios_at_the_limit"] = ratios(results[DENSE], default, library="limit")
    results["ratios_by_peer"] = ratios_by_peer(results[DENSE], default)
    results["share_of_products"] = share_of_products(results[DENSE])
    print_ratios(results)
    if options.json:
        write(results, options.json)


def read_options():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a smoke test: short jobs, fewer rows, one round, no file",
    )
    parser.add_argument("--rounds", type=int, help="that count, 5 by default")
    parser.add_argument("--json", type=Path, help="where the results go")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    parser.add_argument(
        "--mnist", default=os.environ.get("MNIST_DIR"), help="folder with the four idx files"
    )
    parser.add_argument(
        "--libraries",
        nargs="+",
        choices=LIBRARIES[DENSE],
        default=LIBRARIES[DENSE],
        help="only these; all by default",
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.json = options.json or (None if options.quick else RESULTS)
    return options


def precisions(library: str, default: str, quick: bool) -> list[str]:
    """Those in which a library is measured; the default is the fastest one of this machine."""
    if library in ONLY_FLOAT32 or (quick and library in PEERS):
        return ["float32"]
    if library == "command":
        return [default]
    if quick and library != "ours":
        return [default]
    return sorted({"float32", default}, reverse=True)


def measure(flow: str, default: str, options) -> dict:
    """The rows of a table by name."""
    jobs = JOBS[flow]
    if options.quick:
        jobs = {name: {**job, "times": max(1, job["times"] // 6)} for name, job in jobs.items()}
    workers, rows = {}, {}
    try:
        for library in (name for name in LIBRARIES[flow] if name in options.libraries):
            for precision in precisions(library, default, options.quick):
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
                    else:  # after the first job: a run trains with one batch size
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


def ratios(rows: dict, default: str, library: str = "ours") -> dict:
    """A library's medians over those of others, above 1 where it is faster."""

    def rate(library, job, precision="float32"):
        row = rows.get(f"{library} {precision}")
        return row and row[job]["median"]

    def best(job):
        return max((rate(peer, job) for peer in PEERS if rate(peer, job)), default=None)

    def ratio(job, precision, other):
        own = rate(library, job, precision)
        return own / other if own and other else None

    found = {
        "train_512_default_vs_peer": ratio("train_512", default, best("train_512")),
        "train_128_float32_vs_peer": ratio("train_128", "float32", best("train_128")),
        "train_128_default_vs_tfp": ratio("train_128", default, rate("tfp", "train_128")),
        "log_prob_float32_vs_peer": ratio("log_prob", "float32", best("log_prob")),
        "sample_float32_vs_peer": ratio("sample", "float32", best("sample")),
        "log_prob_mixed_vs_peer": ratio("log_prob", default, best("log_prob")),
        "sample_mixed_vs_peer": ratio("sample", default, best("sample")),
    }
    if library == "ours":
        found |= {
            "fit_vs_bare": ratio("train_512", default, rate("bare", "train_512", default)),
            "log_prob_vs_bare": ratio("log_prob", "float32", rate("bare", "log_prob")),
            "sample_vs_bare": ratio("sample", "float32", rate("bare", "sample")),
            "fit_vs_command": ratio("train_512", default, rate("command", "train_512", default)),
        }
    return {key: value for key, value in found.items() if value}


def ratios_by_peer(rows: dict, default: str) -> dict:
    """For each job our medians over those of each row of the others, and over the best of a precision."""
    peers = {name: row for name, row in rows.items() if row["library"] in PEERS}
    ours = [row for row in rows.values() if row["library"] == "ours"]
    found = {}
    for job in JOBS[DENSE]:
        others = {name: row[job]["median"] for name, row in peers.items()}
        for precision in sorted({row["precision"] for row in peers.values()}, reverse=True):
            others[f"best peer {precision}"] = max(
                row[job]["median"] for row in peers.values() if row["precision"] == precision
            )
        found[job] = {
            f"ours {row['precision']} vs {name}": row[job]["median"] / rate
            for row in ours
            for name, rate in others.items()
        }
    return found


def share_of_products(rows: dict) -> dict:
    """For each of our rows, its speed as a share of that of the matrix products alone."""
    shares = {}
    for name, row in rows.items():
        products = rows.get(f"products {row['precision']}")
        if products and row["library"] in ("ours", "bare", "limit"):
            shares[name] = {
                job: row[job]["median"] / products[job]["median"] for job in JOBS[DENSE]
            }
    return shares


def print_table(flow: str, rows: dict):
    """Images per second, the spread, parameters, memory."""
    jobs = JOBS[flow]
    titles = [
        f"training, batch {task['size']}" if task["job"] == "train" else f"`{task['job']}`"
        for task in jobs.values()
    ]
    print(f"\n{flow.capitalize()} flow, images per second:\n")
    print(f"| library | precision | parameters | {' | '.join(titles)} | memory, MB |")
    print("|---" * (4 + len(jobs)) + "|")
    for row in rows.values():
        cells = [describe(row[job]) for job in jobs]
        memory = f"{row['megabytes']:,.0f}" if row["library"] in IN_TENSORFLOW else ""
        print(
            f"| {row['library']} | {row['precision']} | {row['parameters']:,} "
            f"| {' | '.join(cells)} | {memory} |"
        )


def describe(cell: dict) -> str:
    """A median with its spread."""
    lower, upper = cell["quartiles"]
    return f"{cell['median']:,.0f} ({(upper - lower) / cell['median']:.0%})"


def print_ratios(results: dict):
    """How many times as fast we are, and how near to what is possible."""
    print("\nOur speed over another's (above 1: we are faster):\n")
    for name, value in results["ratios"].items():
        limit = results["ratios_at_the_limit"].get(name)
        print(f"- {name}: {value:.2f}" + (f" (the limit: {limit:.2f})" if limit else ""))
    lines = [
        f"- {job}: {values[IN_BFLOAT16]:.2f}"
        for job, values in results["ratios_by_peer"].items()
        if IN_BFLOAT16 in values
    ]
    if lines:
        print("\nOver the fastest of the others in bfloat16, ours likewise:\n")
        print("\n".join(lines))
    print("\nShare of the speed of the matrix products alone:\n")
    for name, shares in results["share_of_products"].items():
        texts = [f"{job} {share:.0%}" for job, share in shares.items()]
        print(f"- {name}: {', '.join(texts)}")


def write(results: dict, file: Path):
    """The results as JSON; what `time_to.py` wrote there stays."""
    if file.is_file():
        before = json.loads(file.read_text())
        results |= {key: before[key] for key in ("time_to",) if key in before}
    file.write_text(json.dumps(results, indent=2) + "\n")


def default_precision() -> str:
    """Ours on this machine, found out in a process that then ends: it imports TensorFlow."""
    code = "from tfp_realnvp.hardware import default_precision; print(default_precision())"
    process = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    if process.returncode:
        sys.exit(process.stderr)
    return process.stdout.split()[-1].removeprefix("mixed_")


def hardware() -> dict:
    """Processor, cores and GPU."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": gpu(),
    }


def gpu() -> str | None:
    """Its name, if there is one."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "-1":
        return None
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        process = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return process.stdout.strip() or None


def versions() -> dict:
    """Of Python and of every library that is installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


if __name__ == "__main__":
    main()
