"""What the machine has, and what is fastest on it: the one place that decides this.

| machine | precision of matrix products in training | XLA |
|---|---|---|
| GPU | bfloat16 | yes (Keras's own choice for `jit_compile="auto"`) |
| CPU with AMX, or of AMD with AVX-512's instructions for bfloat16 | bfloat16 | no |
| other CPUs | float32 | no |

Intel's CPUs have AVX-512's, too, but multiply with them at half the speed of float32: without AMX all jobs of
benchmarks/compare.py took 1.4 to 1.6 times as long in bfloat16. With AMX they were 1.2 to 2.8 times as fast.

On a CPU of two cores a batch is computed in two shards, each by a thread of its own (`shards`), and not in
TensorFlow's own way, by two threads for each operation. More cores are left to that: they were not measured.
`use(shards=4)` tries another number.

`train` does ten steps of a dense flow for each call from Python, on all machines. A step of convolutions is
called alone: it is long, and between two calls progress is shown and a run may end.

What a dense step takes the other ways, in parts of its time in shards, ten steps a call, without XLA, by
benchmarks/choices.py with 11 rounds on an Intel without AMX, in float32 (a run of 5 rounds before it had 1.14
and 0.90 in the first line: the machine is shared):

| | batch 128 | batch 512 |
|---|---|---|
| shards, a step a call | 1.06 | 1.15 |
| shards, XLA | 2.09 | 2.14 |
| TensorFlow's own threads | 1.39 | 1.23 |
| TensorFlow's own threads, XLA | 1.19 | 1.33 |

Scoring and drawing are in float32 unless asked (`ImageFlow.in_precision`). Batches are those of `config.FLOWS`
on all machines: they decide what is learned. benchmarks/compare.py measures the lines of CPUs; those of the
GPU are TensorFlow's advice, not measured.
"""

from tfp_realnvp.hardware.device import (
    Device,
    cores,
    default_precision,
    describe,
    name,
    shards,
    use,
)

__all__ = ["Device", "cores", "default_precision", "describe", "name", "shards", "use"]
