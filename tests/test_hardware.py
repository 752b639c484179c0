import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from tfp_realnvp import hardware
from tfp_realnvp.hardware import amx, cpuid, device


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_without_a_gpu():
    hardware.use("auto")
    hardware.use("cpu")
    assert hardware.name() == "CPU"
    assert hardware.describe("float32").startswith("CPU (")
    with pytest.raises(ValueError, match="sees no GPU.*`device`"):
        hardware.use("gpu")


@pytest.mark.parametrize(
    "name", ["tpu", "gpu:", "gpu:0,gpu:0", "gpu:0;gpu:1", "gpu:-1", "", None, 1]
)
def test_unknown_device(name):
    words = "`device` must be one of auto, cpu, gpu, all, or GPUs such as gpu:0,gpu:2, received"
    with pytest.raises(ValueError, match=words):
        hardware.use(name)


def test_device_that_comes_too_late(monkeypatch):
    def refuse(*args):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "set_visible_devices", refuse)
    with pytest.raises(ValueError, match="`device` must be chosen before TensorFlow"):
        hardware.use("cpu")


@pytest.mark.parametrize("shards", [0, -1, 1.5, "2"])
def test_bad_shards(shards):
    with pytest.raises(ValueError, match="`shards` must be an integer of at least 1, received"):
        hardware.use("cpu", shards=shards)


def test_shards_that_come_too_late(monkeypatch):
    """Here, where TensorFlow has begun (see conftest.py)."""
    monkeypatch.setattr(device, "cores", lambda: 2)
    hardware.use("cpu")
    hardware.use("cpu", shards=1)
    assert hardware.shards() == 1
    with pytest.raises(ValueError, match="`shards` must be chosen before TensorFlow"):
        hardware.use("cpu", shards=2)
    assert hardware.shards() == 1


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_a_gpu_takes_whole_batches(monkeypatch):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [kind])
    hardware.use("gpu", shards=3)
    assert hardware.shards() == 1


SHARDS = """
import functools
import tensorflow as tf
from tfp_realnvp import hardware
from tfp_realnvp.compute import sharding

threads = tf.config.threading
set_one, set_all = threads.set_intra_op_parallelism_threads, threads.set_inter_op_parallelism_threads
use = functools.partial(hardware.use, "cpu")


def check(name, shards, one, all, *calls):
    "`one`, `all`: threads for one operation, and for all of them; 0 is TensorFlow's default."
    found = threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads()
    assert (hardware.shards(), *found) == (shards, one, all), (name, hardware.shards(), *found)
    assert (f"in {shards} shards" in hardware.describe("float32")) == (shards > 1), name
    set_one(0), set_all(0), sharding.use_shards(1)


hardware.device.cores = lambda: 2
check("two cores", 2, 1, 2, use())
check("twice", 2, 1, 2, use(), use())
check("threads were chosen", 1, 3, 0, set_one(3), use())
check("threads were chosen, and shards", 2, 1, 2, set_one(3), use(shards=2))
check("threads were chosen, and one shard", 1, 3, 0, set_one(3), use(shards=1))
hardware.device.cores = lambda: 8
check("eight cores", 1, 0, 0, use())
check("three shards", 3, 1, 3, use(shards=3))
check("three, and no more said", 3, 1, 3, use(shards=3), use())
check("three, then four", 4, 1, 4, use(shards=3), use(shards=4))
check("three, then one", 1, 0, 0, use(shards=3), use(shards=1))
use(shards=3)
tf.constant(1)
use(shards=3)
use()
assert hardware.shards() == 3
"""


@pytest.mark.slow
def test_shards():
    """In a fresh process, where TensorFlow has not begun."""
    process = subprocess.run(
        [sys.executable, "-c", SHARDS], check=False, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize(
    ("flags", "tiles", "chosen", "limit"),
    [
        ("avx512_bf16 amx_tile", 0, None, "AVX512_CORE_FP16"),
        ("avx512_bf16 amx_tile", 0, "AVX2", "AVX2"),
        ("avx512_bf16 amx_tile", 1, None, None),
        ("avx512_bf16", 0, None, None),
        ("", 0, None, None),
    ],
    ids=["broken", "limited by the user", "works", "no AMX", "unknown CPU"],
)
def test_avoids_broken_amx(monkeypatch, flags, tiles, chosen, limit):
    monkeypatch.setattr(amx, "cpu", lambda: flags)
    monkeypatch.setattr(cpuid, "cpuid", lambda _: tiles)
    environment = {} if chosen is None else {amx.ONEDNN_ISA: chosen}
    monkeypatch.setattr("os.environ", environment)
    amx.avoid_broken_amx()
    assert environment.get(amx.ONEDNN_ISA) == limit


@pytest.mark.parametrize(
    ("cpu", "tiles", "precision"),
    [
        ("AuthenticAMD avx512f avx512_bf16", 0, "mixed_bfloat16"),
        ("AuthenticAMD avx512f", 0, "float32"),
        ("GenuineIntel avx512_bf16", 0, "float32"),
        ("GenuineIntel avx512_bf16 amx_bf16 amx_tile", 1, "mixed_bfloat16"),
        ("GenuineIntel avx512_bf16 amx_bf16 amx_tile", 0, "float32"),
        ("", 0, "float32"),
    ],
)
@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_default_precision(monkeypatch, cpu, tiles, precision):
    monkeypatch.setattr(device, "cpu", lambda: cpu)
    monkeypatch.setattr(cpuid, "cpuid", lambda _: tiles)
    assert hardware.default_precision() == precision


@pytest.mark.skipif(
    platform.machine() != "x86_64" or sys.platform != "linux", reason="its code is of x86-64"
)
def test_asks_the_processor():
    """It says the same as Linux, as far as that says it."""
    level = re.search(r"^cpuid level\s*: (\d+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    assert cpuid.cpuid(0) == int(level[1])


def test_processor_that_may_not_be_asked(monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError

    monkeypatch.setattr(cpuid.mmap, "mmap", refuse)
    assert cpuid.cpuid(0) == 0


@pytest.mark.slow
def test_bfloat16_at_import():
    """No process ends by an illegal instruction, whatever the machine announces."""
    code = """
import tfp_realnvp
import tensorflow as tf
values = tf.ones([64, 64], tf.bfloat16)
assert tf.reduce_all(values @ values == 64)
"""
    environment = {name: value for name, value in os.environ.items() if name != amx.ONEDNN_ISA}
    process = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert process.returncode == 0, process.stderr
