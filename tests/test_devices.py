"""Several devices: two CPUs that TensorFlow makes of one, in processes of their own."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from processes import Command, wait_for_state

from tfp_realnvp.training.run_folder import RunFolder

pytestmark = pytest.mark.slow

SIZE = (
    "--flow", "realnvp", "--width", "32", "--depth", "2", "--batch-size", "128", "--precision", "float32",
    "--learning-rate", "3e-4",
)  # fmt: skip


PLACES = """
import tensorflow as tf
[cpu, *_] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tfp_realnvp import RealNVP, hardware
hardware.use("all")
with hardware.strategy().scope():
    flow = RealNVP((4, 4, 1), width=8, depth=1, seed=0)
places = []
decode, log_prob = flow._decode, flow._log_prob
def note(tensor):
    places.append(tf.identity(tensor).op.device[-5:])
def noting(method):
    def call(conditioners, rows, *others, **options):
        note(rows)
        return method(conditioners, rows, *others, **options)
    call.__name__ = method.__name__
    return call
flow._decode, flow._log_prob = noting(decode), noting(log_prob)
images = flow.sample(20, seed=0)
print(*sorted(set(places)))
places.clear()
flow.log_prob(images)
print(*sorted(set(places)))
"""


def train(folder, *arguments):
    return call("train", *SIZE, "--run-dir", folder, *arguments)


def call(*arguments):
    process = start(*arguments)
    assert process.wait(), process.errors
    return process


def start(*arguments):
    return Command(arguments, cpus=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one epoch."""
    folder = tmp_path_factory.mktemp("trained")
    process = train(folder, "--epochs", 1)
    assert process.status == 0, process.errors
    return folder


def test_train_on_two_devices_as_on_one(tmp_path):
    """With batches so large that one device does a step a call, too."""
    runs = {}
    for devices in ("all", "cpu"):
        process = train(
            tmp_path / devices, "--devices", devices, "--deterministic", "--epochs", 5, "--json"
        )
        assert process.status == 0, process.errors
        runs[devices] = RunFolder(tmp_path / devices), json.loads(process.output)
    (both, scores), (one, expected) = runs["all"], runs["cpu"]
    for received, weight in zip(
        both.load_model().get_weights(), one.load_model().get_weights(), strict=True
    ):
        np.testing.assert_allclose(received, weight, atol=1e-4)
    assert scores["test"]["bits_per_dim"] == pytest.approx(
        expected["test"]["bits_per_dim"], rel=1e-4
    )


def test_score_and_sample_on_two_devices_as_on_one(trained, tmp_path):
    results = {}
    for devices in ("all", "cpu"):
        output = tmp_path / f"{devices}.npz"
        process = call("sample", trained, "--num", 30, "--output", output, "--devices", devices)
        assert process.status == 0, process.errors
        process = call("score", trained, "--rarer", 50, "--devices", devices, "--json")
        assert process.status == 0, process.errors
        with np.load(output) as drawn:
            results[devices] = json.loads(process.output), drawn["images"]
    (received, drawn), (expected, images) = results.values()
    assert received["bits_per_dim"] == pytest.approx(expected["bits_per_dim"], rel=1e-5)
    assert received["rarer"]["mean"] == pytest.approx(expected["rarer"]["mean"], abs=0.01)
    assert np.mean(drawn != images) < 0.001


def test_both_devices_compute(tmp_path):
    """In a process: an operation is seen on each of them."""
    process = subprocess.run(
        [sys.executable, "-c", PLACES], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == ["CPU:0", "CPU:1"] * 2


def test_goes_on(tmp_path):
    """After a signal, in the middle of an epoch."""
    endless = ("train", *SIZE, "--run-dir", tmp_path, "--devices", "all", "--epochs", 100_000)
    steps = []
    for more in ((), ("--resume",)):
        process = start(*endless, "--patience", 100_000, *more)
        wait_for_state(tmp_path, after=time.time())
        process.signal(signal.SIGTERM)
        assert process.wait() and process.status == 128 + signal.SIGTERM, process.errors
        steps.append(RunFolder(tmp_path).state.read(print).step)
    assert 0 < steps[0] < steps[1]


def test_batch_that_two_devices_cannot_share(tmp_path):
    process = train(tmp_path / "run", "--devices", "all", "--batch-size", 63)
    assert process.status == 2
    assert (
        "--batch-size must be a multiple of the number of devices, 2, received 63" in process.errors
    )
    assert not (tmp_path / "run").exists()


def test_device_that_is_not_there(tmp_path):
    process = train(tmp_path / "run", "--devices", "gpu:7")
    assert process.status == 2
    assert "TensorFlow sees no GPU" in process.errors or "names gpu:7" in process.errors
    assert not (tmp_path / "run").exists()
