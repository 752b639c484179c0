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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "shards"),
    [
        ("", 2),
        ("tf.config.threading.set_intra_op_parallelism_threads(3)", 1),
        ("tf.constant(1)", 1),
        ("hardware.device.cores = lambda: 8", 1),
    ],
    ids=["two cores", "threads were chosen", "TensorFlow has begun", "eight cores"],
)
def test_shards(before, shards):
    """Two cores work on a shard each, unless something stands against it."""
    code = f"""
import tensorflow as tf
from tfp_realnvp import hardware
from tfp_realnvp.hardware import amx, cpuid, device
hardware.device.cores = lambda: 2
{before}
hardware.use("cpu")
assert hardware.shards() == {shards}, hardware.shards()
assert ("in {shards} shards" in hardware.describe("float32")) == ({shards} > 1)
"""
    process = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
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
