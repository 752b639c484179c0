"""What the machine has and what is fastest on it: the one place that decides this.

| machine | precision of matrix products in training | XLA |
|---|---|---|
| GPU | bfloat16 | yes (Keras's own choice for `jit_compile="auto"`) |
| CPU with AMX; AMD CPU with AVX-512's bfloat16 instructions | bfloat16 | no |
| other CPUs | float32 | no |

Intel's CPUs have the bfloat16 instructions of AVX-512, too, but multiply with them at half the speed of
float32. Without AMX, every job of benchmarks/compare.py took 1.4 to 1.6 times as long in bfloat16 as in
float32; with AMX, bfloat16 was 1.2 to 2.8 times as fast.

On a CPU of two cores a batch is cut into two shards, and each shard is computed by its own thread (`shards`).
TensorFlow by itself would instead use both threads within each operation, and so it does on CPUs with more
cores, on which shards were not measured. `use(shards=4)` tries another number.

`train` does ten steps of a dense flow in each call from Python, on all machines. A convolutional flow does one
step a call: its steps are long, and only between two calls can progress be shown or a run be ended.

The table shows how long a step of the dense flow takes in other ways, relative to two shards with ten steps a
call and without XLA. It is from benchmarks/choices.py with 11 rounds, in float32, on an Intel CPU without AMX.
(The machine is shared: in a run of 5 rounds before it, the first line was 1.14 and 0.90.)

| | batch 128 | batch 512 |
|---|---|---|
| shards, a step a call | 1.06 | 1.15 |
| shards, XLA | 2.09 | 2.14 |
| TensorFlow's own threads | 1.39 | 1.23 |
| TensorFlow's own threads, XLA | 1.19 | 1.33 |

Images are scored and drawn in float32 unless bfloat16 is asked for (`ImageFlow.in_precision`). The default
batch size does not depend on the machine, since it decides what is learned. The choices for CPUs were measured
by benchmarks/compare.py; those for GPUs are TensorFlow's advice and were not measured.
"""

from tfp_realnvp.hardware import workers
from tfp_realnvp.hardware.device import (
    DEVICES,
    Device,
    connect,
    cores,
    default_precision,
    describe,
    name,
    shards,
    strategy,
    use,
)
from tfp_realnvp.hardware.workers import WorkerLostError

__all__ = [
    "DEVICES",
    "Device",
    "WorkerLostError",
    "connect",
    "cores",
    "default_precision",
    "describe",
    "name",
    "shards",
    "strategy",
    "use",
    "workers",
]
