import subprocess
import sys

import pytest
import tensorflow as tf

from tfp_realnvp import hardware


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_without_a_gpu():
    hardware.use("auto")
    hardware.use("cpu")
    assert hardware.name() == "CPU"
    assert hardware.describe("float32").startswith("CPU (")
    with pytest.raises(ValueError, match="sees no GPU.*--device"):
        hardware.use("gpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "shards"),
    [
        ("", 2),
        ("tf.config.threading.set_intra_op_parallelism_threads(3)", 1),
        ("tf.constant(1)", 1),
        ("hardware.cores = lambda: 8", 1),
    ],
    ids=["two cores", "threads were chosen", "TensorFlow has begun", "eight cores"],
)
def test_shards(before, shards):
    """Two cores work on a shard each, unless something stands against it."""
    code = f"""
import tensorflow as tf
from tfp_realnvp import hardware
hardware.cores = lambda: 2
{before}
hardware.use("cpu")
assert hardware.shards() == {shards}, hardware.shards()
assert ("in {shards} shards" in hardware.describe("float32")) == ({shards} > 1)
"""
    process = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
