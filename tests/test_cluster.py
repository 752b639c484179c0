"""TF_CONFIG, and the wait for other workers."""

import contextlib
import json
import socket
import threading
import time

import numpy as np
import pytest

from tfp_realnvp.hardware import cluster, workers
from tfp_realnvp.hardware.cluster import Cluster, read_cluster, wait_for_workers
from tfp_realnvp.training.budget import Budget

TWO = '{"cluster": {"worker": ["a:1", "b:2"]}'
ADDRESSES = ["a:1", "b:2", "[::1]:3"]


def read(monkeypatch, jobs, task):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": jobs, "task": task}))
    return read_cluster()


@pytest.mark.parametrize("kind", ["index", "string"])
def test_cluster(monkeypatch, kind):
    """The chief is worker 0; Vertex AI writes the index as a string."""
    number = {"index": int, "string": str}[kind]
    jobs = {"chief": ["c:9"], "worker": ADDRESSES}
    found = read(monkeypatch, jobs, {"type": "worker", "index": number(1)})
    assert found == Cluster(("c:9", *ADDRESSES), 2)
    assert read(monkeypatch, jobs, {"type": "chief", "index": number(0)}).index == 0


def test_one_worker_alone(monkeypatch):
    assert read(monkeypatch, {"worker": ["a:1"]}, {"type": "worker", "index": 0}) is None
    assert read(monkeypatch, {}, {}) is None
    monkeypatch.delenv("TF_CONFIG")
    assert read_cluster() is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[" * 100_000, "recursion"),
        (" " + "x" * 1_000_001, "too long"),
        ("[]", "no attribute"),
        ('{"cluster": 3, "task": {}}', "no attribute"),
        (TWO + "}", "it lacks 'task'"),
        (TWO + ', "task": {"type": "worker"}}', "it lacks 'index'"),
        (TWO + ', "task": {"type": "ps", "index": 0}}', "'ps' does not train"),
        (TWO + ', "task": {"type": "worker", "index": 2}}', "there is no worker 2"),
        (TWO + ', "task": {"type": "worker", "index": -1}}', "there is no worker -1"),
        (TWO + ', "task": {"type": "worker", "index": "x"}}', "invalid literal"),
        ('{"cluster": {"worker": ["a:1", "b"]}, "task": {}}', "'b' is not host:port"),
        ('{"cluster": {"worker": ["a:1", 2]}, "task": {}}', "expected string"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {}}', "the same address"),
        ('{"cluster": {"chief": ["a:1", "b:1"]}, "task": {}}', "at most one chief"),
        ('{"cluster": {"ps": ["a:1"]}, "task": {}}', "there must be workers"),
    ],
)  # fmt: skip
def test_bad_cluster(monkeypatch, text, reason):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(
        ValueError, match=r"TF_CONFIG does not describe a cluster \(.*Unset it"
    ) as error:
        read_cluster()
    assert reason in str(error.value)


@pytest.fixture
def addresses():
    servers = [socket.create_server(("localhost", 0)) for _ in range(3)]
    addresses = tuple(f"localhost:{server.getsockname()[1]}" for server in servers)
    for server in servers:
        server.close()
    return addresses


def test_workers_find_each_other(addresses):
    everybody = threading.Barrier(3, timeout=60)
    found = []

    def work(index):
        wait_for_workers(Cluster(addresses, index), seconds=60)
        with cluster._listening(addresses[index]):  # as TensorFlow's server does from then on
            everybody.wait()
        found.append(index)

    threads = [threading.Thread(target=work, args=[index]) for index in range(3)]
    for thread in threads:
        assert not found
        thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1, 2]


def test_missing_worker(addresses):
    others = f"{min(addresses[1:])}, {max(addresses[1:])}"
    with pytest.raises(ValueError, match=f"worker 0 did not reach {others} in 0 s"):
        wait_for_workers(Cluster(addresses, 0), seconds=0)
    with cluster._listening(addresses[0]):  # the port is free again
        pass


def test_address_in_use(addresses):
    with cluster._listening(addresses[0]), pytest.raises(ValueError, match="cannot listen at"):
        wait_for_workers(Cluster(addresses, 0), seconds=0)


def test_alone():
    """Without other workers nothing is sent."""
    assert workers.is_chief() and workers.workers() == 1 and not workers.connected()
    assert workers.largest([2.0, 1.0]) == [2.0, 1.0]
    assert workers.of_chief([1, 2]).tolist() == [1, 2]
    assert workers.chief_first(lambda: 7) == 7
    assert workers.share_out(len) is len
    workers.check_agreement({"options": 1})


@pytest.mark.parametrize(
    ("of_other", "words"),
    [
        ({"options": {"seed": 1}, "versions": "2.20"}, None),
        ({"options": {"seed": 2}, "versions": "2.20"}, r"the same options: .* from worker 0 are 1"),
        (
            {"options": {"seed": 2}, "versions": "2.21"},
            "the same options and versions: worker 0 has",
        ),
    ],
)
def test_agreement(monkeypatch, of_other, words):
    """As worker 0 sees it."""
    sent = []
    monkeypatch.setattr(workers, "gather", lambda rows: sent.append(rows) or rows)
    workers.check_agreement(of_other)
    monkeypatch.setattr(workers, "gather", lambda rows: np.concatenate([rows, *sent]))
    expected = pytest.raises(ValueError, match=words) if words else contextlib.nullcontext()
    with expected:
        workers.check_agreement({"options": {"seed": 1}, "versions": "2.20"})


def test_rows_are_shared_out(monkeypatch):
    """Each worker computes its own, and all have the result; here there are more workers than rows, too."""
    parts, seen = [], []

    def double(values):
        seen.append(len(values))
        return 2.0 * values

    monkeypatch.setattr(workers, "gather", lambda values: parts.append(values) or np.zeros(99))
    for count, rows in [(3, 10), (3, 2), (2, 8)]:
        parts.clear()
        seen.clear()
        monkeypatch.setattr(workers, "_cluster", Cluster(tuple("abc"[:count]), 0))
        for index in range(count):
            monkeypatch.setattr(workers, "worker", lambda index=index: index)
            workers.share_out(double)(np.arange(rows))
        np.testing.assert_array_equal(np.concatenate(parts)[:rows], 2.0 * np.arange(rows))
        assert set(seen) == {-(-rows // count)}


def test_workers_have_one_time_from_the_start(monkeypatch):
    """Else one of them would write its state, or end, a step before the others, and wait for them for ever."""
    monkeypatch.setattr(workers, "connected", lambda: True)
    monkeypatch.setattr(workers, "largest", lambda _: [1234.0])  # what another one says
    budget = Budget(steps=10, seconds=2000.0, started=time.monotonic())
    assert budget.elapsed() == 1234.0
    budget.go_on_after(700.0)
    assert budget.elapsed() == 1934.0 and not budget.is_used_up()
    monkeypatch.setattr(workers, "largest", lambda _: [2001.0])
    assert not budget.is_used_up()
    budget.agree()
    assert budget.is_used_up()
