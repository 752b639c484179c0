"""Several workers: real processes, which reach each other on this machine's loopback."""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from processes import Command, wait_for_state

from tfp_realnvp.hardware import workers
from tfp_realnvp.training import runs
from tfp_realnvp.training.run_folder import RunFolder

pytestmark = pytest.mark.slow

SIZE = (
    "--flow", "realnvp", "--width", "32", "--depth", "2", "--batch-size", "128", "--precision", "float32",
    "--learning-rate", "3e-4",
)  # fmt: skip
ENDLESS = ("--epochs", 100_000, "--patience", 100_000)


def cluster(workers=2):
    """Variables of the environment for each worker of a new cluster."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("localhost", 0))) for _ in range(workers)
        ]
        addresses = [f"localhost:{server.getsockname()[1]}" for server in sockets]
    jobs = {"worker": addresses}
    return [
        {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": "worker", "index": index}})}
        for index in range(workers)
    ]


def start(environment, folder, *arguments):
    command = ["train", *SIZE, "--run-dir", folder, *arguments]
    return Command(command, environment=environment)


@contextlib.contextmanager
def training(*commands):
    """Workers, each with its own arguments after the run folder; they are killed at the end."""
    processes = [
        start(environment, *command)
        for environment, command in zip(cluster(len(commands)), commands, strict=True)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()


def ends(process, seconds=120):
    """Exit status and what was printed."""
    assert process.wait(seconds), "it goes on"
    return process.status, process.output, process.errors


def test_two_workers_as_one_process(tmp_path):
    """The weights of 50 steps, the losses of all epochs and the scores."""
    together, alone = tmp_path / "together", tmp_path / "alone"
    with training(*[(together, "--epochs", 5, "--json")] * 2) as (chief, other):
        status, out, err = ends(chief)
        assert status == 0, err
        status, nothing, err = ends(other)
        assert (status, nothing) == (0, ""), err
    process = start({}, alone, "--epochs", 5, "--json")
    status, expected, err = ends(process)
    assert status == 0, err
    received, expected = json.loads(out), json.loads(expected)
    for split in ("train", "validation", "test"):
        assert received[split]["images"] == expected[split]["images"]
        assert received[split]["bits_per_dim"] == pytest.approx(
            expected[split]["bits_per_dim"], rel=1e-4
        )
    both, one = RunFolder(together), RunFolder(alone)
    for ours, theirs in zip(
        both.load_model().get_weights(), one.load_model().get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    losses = [[row["loss"] for row in run.read_history()] for run in (both, one)]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_signal_to_one_worker_ends_all_and_they_go_on(tmp_path):
    command = (tmp_path, *ENDLESS)
    with training(command, command) as (chief, other):
        wait_for_state(tmp_path)
        other.signal(signal.SIGTERM)
        for process in (chief, other):
            assert ends(process)[0] == 128 + signal.SIGTERM
    before = RunFolder(tmp_path).state.read(print)
    resumed = (*command, "--resume", "--time-limit", "10m")
    with training(resumed, resumed) as (chief, other):
        wait_for_state(tmp_path, after=time.time())
        chief.signal(signal.SIGTERM)
        for process in (chief, other):
            status, _, err = ends(process)
            assert status == 128 + signal.SIGTERM, err
    after = RunFolder(tmp_path).state.read(print)
    assert (after.epoch, after.step) > (before.epoch, before.step)


@pytest.mark.parametrize("killed", [0, 1], ids=["chief", "other"])
def test_worker_that_dies(tmp_path, killed):
    """The other ends within a minute, and says why; what was learned is there."""
    command = (tmp_path, *ENDLESS)
    with training(command, command) as processes:
        wait_for_state(tmp_path)
        processes[killed].kill()
        status, _, err = ends(processes[1 - killed], seconds=60)
        assert status == 75
        assert "Error: worker" in err and "another worker is gone" in err
    state = RunFolder(tmp_path).state.read(print)
    assert (state.epoch, state.step) > (0, 0)


def test_workers_with_other_options(tmp_path):
    with training(
        (tmp_path / "run", "--epochs", 1), (tmp_path / "run", "--epochs", 2)
    ) as processes:
        for process in processes:
            status, _, err = ends(process)
            assert status == 2
            assert "workers must have the same options" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("shared", [True, False])
def test_folder_that_is_not_shared(tmp_path, monkeypatch, shared):
    """As worker 1 sees it."""
    run = RunFolder(tmp_path)
    run.config.write_text("{}")
    of_chief = hashlib.sha256(run.config.read_bytes()).digest()
    if not shared:
        run.config.unlink()
    monkeypatch.setattr(runs, "VISIBLE_SECONDS", 0)
    monkeypatch.setattr(workers, "connected", lambda: True)
    monkeypatch.setattr(workers, "of_chief", lambda _: np.frombuffer(of_chief, np.uint8))
    monkeypatch.setattr(workers, "gather", lambda sees: np.array([False, *sees]))
    expected = (
        contextlib.nullcontext()
        if shared
        else pytest.raises(ValueError, match="that all workers share: worker 1 does not see")
    )
    with expected:
        runs._check_shared(run)


def test_worker_that_cannot_start(tmp_path):
    """Here the chief, because the folder is not empty."""
    (tmp_path / "mine.txt").touch()
    with training(*[(tmp_path, "--epochs", 1)] * 2) as (chief, other):
        status, _, err = ends(chief)
        assert status == 2 and "is not empty" in err
        status, _, err = ends(other)
        assert status == 75 and "worker 0 failed in its preparations" in err


def test_worker_that_never_comes(tmp_path):
    environment, other = cluster()
    process = start(environment, tmp_path / "run", "--worker-timeout", "2s")
    status, _, err = ends(process)
    [missing] = json.loads(other["TF_CONFIG"])["cluster"]["worker"][1:]
    assert status == 2
    assert f"worker 0 did not reach {missing} in 2 s" in err
    assert not (tmp_path / "run").exists()


SCRIPT = """
import json, numpy, tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
from tfp_realnvp import RealNVP
from tfp_realnvp.optimizers import Adam

images = numpy.random.default_rng(0).integers(256, size=(64, 4, 4, 1), dtype=numpy.uint8)
with strategy.scope():
    flow = RealNVP((4, 4, 1), width=8, depth=2, seed=0)
    flow.compile(Adam(0.01, global_clipnorm=1.0))
history = flow.fit(images, batch_size=16, epochs=2, shuffle=False, verbose=0).history
flow.evaluate(images, batch_size=16, verbose=0)

data = tf.data.Dataset.from_tensor_slices(images).batch(16)
batches = strategy.experimental_distribute_dataset(data)

@tf.function
def step(batch):
    def on_replica(batch):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_sum(flow(batch, training=True)) / 16
        gradients = tape.gradient(loss, flow.trainable_variables)
        flow.optimizer.apply_gradients(zip(gradients, flow.trainable_variables))
        return loss
    return strategy.reduce("SUM", strategy.run(on_replica, args=(batch,)), axis=None)

losses = [float(step(batch)) for batch in batches]
weights = [float(numpy.sum(weight)) for weight in flow.get_weights()]
print(json.dumps([*history["loss"], *losses, *weights]))
"""


def test_scripts_with_their_own_strategy():
    """`fit` in its scope, and a loop of one's own: workers end with the same weights, and with those of one."""
    alone = SCRIPT.replace("MultiWorkerMirroredStrategy()", "get_strategy()")
    runs = [(SCRIPT, environment) for environment in cluster()] + [(alone, {})]
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", script],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for script, environment in runs
    ]
    printed = []
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        printed.append(json.loads(out))
    first, second, one = printed
    assert first == second
    np.testing.assert_allclose(first, one, rtol=1e-4, atol=1e-4)
