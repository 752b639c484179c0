"""What a result depends on besides the code: the machine, and the versions of the libraries."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from libraries import PEERS

PACKAGES = (
    "tfp-realnvp",
    "tensorflow",
    "keras",
    "tensorflow-probability",
    "torch",
    *PEERS,
    "numpy",
)


def default_precision() -> str:
    """Our default on this machine. Finding it out imports TensorFlow, so another process does it."""
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
        "gpu": _gpu(),
    }


def versions() -> dict:
    """The version of Python and of each library; None if it is not installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _gpu() -> str | None:
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "-1":
        return None
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        process = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return process.stdout.strip() or None
