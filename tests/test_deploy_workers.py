"""deploy/workers: the manifest against Kubernetes' schemas, the scripts with stand-ins for schedulers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tfp_realnvp.hardware.cluster import Cluster, read_cluster

TOP = Path(__file__).parent.parent
FOLDER = TOP / "deploy" / "workers"
WORKERS = ("host0:2222", "host1:2222", "host2:2222")
# what `tfp-realnvp` is told: its arguments and TF_CONFIG
PROGRAM = """#!{python}
import json, os, sys
print(json.dumps([sys.argv[1:], os.environ["TF_CONFIG"]]))
"""
SCONTROL = """#!/bin/sh
[ "$*" = "show hostnames host[0-1]" ] && printf 'host0\\nhost1\\n'
"""
SRUN = """#!/bin/sh
shift  # its own option
for SLURM_PROCID in 0 1; do export SLURM_PROCID; "$@"; done
"""


@pytest.fixture
def run(tmp_path):
    """Runs a command with the stand-ins, and returns what each worker's `tfp-realnvp` was told."""
    programs = {
        "tfp-realnvp": PROGRAM.format(python=sys.executable),
        "srun": SRUN,
        "scontrol": SCONTROL,
    }
    for name, text in programs.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run(command, **environment):
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        process = subprocess.run(
            command,
            cwd=TOP,
            env={"PATH": path, "RUN_DIR": str(tmp_path / "run"), **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return [json.loads(line) for line in process.stdout.splitlines()]

    return run


def cluster_of(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    return read_cluster()


def documents():
    return list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))


def test_a_worker_starts_a_run_and_goes_on_with_it(run, tmp_path, monkeypatch):
    command = [FOLDER / "worker.sh", "--dataset", "a set"]
    environment = {"WORKERS": ",".join(WORKERS), "INDEX": "1"}
    [(arguments, text)] = run(command, **environment)
    assert arguments == ["train", "--run-dir", str(tmp_path / "run"), "--dataset", "a set"]
    assert cluster_of(text, monkeypatch) == Cluster(WORKERS, 1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").touch()
    [(arguments, _)] = run(command, **environment)
    assert arguments[-1] == "--resume"


def test_slurm(run, monkeypatch):
    told = run(
        ["bash", FOLDER / "slurm.sh", "--dataset", "mnist"],
        SLURM_JOB_ID="41234",
        SLURM_JOB_NODELIST="host[0-1]",
    )
    for index, (arguments, text) in enumerate(told):
        assert arguments[-2:] == ["--dataset", "mnist"]
        assert cluster_of(text, monkeypatch) == Cluster(("host0:21234", "host1:21234"), index)
    assert len(told) == 2


@pytest.mark.parametrize("document", documents(), ids=lambda document: document["kind"])
def test_kubernetes_knows_the_manifest(document):
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_schemas_notice_a_wrong_manifest():
    job = documents()[-1]
    job["spec"]["complections"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


def test_kubernetes(run, monkeypatch):
    """Each pod's command, with the environment that it gets."""
    service, _, job = documents()
    spec = job["spec"]
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert pod["subdomain"] == service["metadata"]["name"]
    names = [
        f"{job['metadata']['name']}-{index}.{pod['subdomain']}:2222"
        for index in range(spec["completions"])
    ]
    for index in range(spec["completions"]):
        [(arguments, text)] = run(
            [*container["command"], *container["args"]],
            **environment,
            JOB_COMPLETION_INDEX=str(index),
        )
        assert arguments[:3] == ["train", "--run-dir", "/runs/mnist"]
        assert cluster_of(text, monkeypatch) == Cluster(tuple(names), index)
