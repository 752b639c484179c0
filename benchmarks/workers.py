"""What several workers cost: a training step of one process, of a strategy's one replica, and of two processes.

    python benchmarks/workers.py [--flow multiscale] [--rounds 3]

Each way is a process of its own, by turns; the two workers reach each other on this machine's loopback. A step
is that of `fit` on prepared batches: the median of a process, and of all rounds. The machine needs two cores:
one process uses both, and so do two workers.

- "one replica": `MirroredStrategy` with one device; it should cost at most 3 %.
- "one core, half a batch": what a worker computes, without the other one. What two workers take beyond it is
  the cost of working together: of that the table tells the share.

Bytes: a float32 for each weight, the gradients of a step. In a ring of n workers each of them sends, and
receives, 2 (n - 1) / n times that.
"""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time

from shared import load_images, make_parser, print_header, print_row

from tfp_realnvp import hardware

WARM_UP = 4  # steps that do not count
BATCH = {"multiscale": 32, "realnvp": 512}
STEPS = {"multiscale": 30, "realnvp": 60}
WAYS = ("one process", "one replica", "one core, half a batch", "two workers")


def main():
    """Print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--flow", choices=list(BATCH), default="multiscale")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="of a round")
    parser.add_argument("--way", choices=WAYS, help="only measure, as a process of the benchmark")
    options = parser.parse_args()
    steps = options.steps or STEPS[options.flow]
    if options.way:
        measure(options.way, options.flow, load_images(options.mnist), steps)
        return
    arguments = ["--flow", options.flow, "--steps", str(steps)]
    if options.mnist:
        arguments += ["--mnist", options.mnist]
    rounds = [{way: run(way, arguments) for way in WAYS} for _ in range(options.rounds)]
    medians = {way: statistics.median(row[way]["ms"] for row in rounds) for way in WAYS}
    print_header("way", "images in a step", "step, ms", "more than")
    for way in WAYS:
        base = {"one replica": "one process", "two workers": "one core, half a batch"}.get(way)
        share = base and statistics.median(row[way]["ms"] / row[base]["ms"] - 1 for row in rounds)
        images = BATCH[options.flow] // (2 if "half" in way else 1)
        print_row(way, images, f"{medians[way]:.1f}", f"{base}: {share:.1%}" if base else "")
    weights = rounds[0]["one process"]["weights"]
    print(f"\nBytes reduced in a step: {4 * weights:,}")


def run(way, arguments):
    """Measure in a process, or two."""
    environments = [dict(os.environ)]
    if way == "two workers":
        with contextlib.ExitStack() as stack:
            servers = [
                stack.enter_context(socket.create_server(("localhost", 0))) for _ in range(2)
            ]
            addresses = [f"localhost:{server.getsockname()[1]}" for server in servers]
        environments = [
            os.environ
            | {
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
                )
            }
            for index in range(2)
        ]
    command = [sys.executable, __file__, "--way", way, *arguments]
    processes = [
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for environment in environments
    ]
    results = [json.loads(process.communicate()[0]) for process in processes]
    return {**results[0], "ms": statistics.mean(result["ms"] for result in results)}


def measure(way, name, images, steps):
    """Print the milliseconds of a step and the number of weights, as JSON."""
    alone = way in ("one process", "one replica")
    hardware.use(shards=None if alone else 1)
    import keras  # noqa: PLC0415  (after the choice of threads)
    import tensorflow as tf  # noqa: PLC0415

    if not alone:
        tf.config.threading.set_intra_op_parallelism_threads(1)
    hardware.connect()

    from tfp_realnvp.flows import BY_NAME  # noqa: PLC0415
    from tfp_realnvp.optimizers import Adam  # noqa: PLC0415

    device = "GPU:0" if tf.config.get_visible_devices("GPU") else "CPU:0"
    one = tf.distribute.MirroredStrategy([device])
    strategy = one if way == "one replica" else hardware.strategy()
    with strategy.scope():
        flow = BY_NAME[name](images.shape[1:], dtype=hardware.default_precision(), seed=0)
        flow.compile(Adam(1e-3, global_clipnorm=1.0))
    flow.adapt(images[:1000])
    size = BATCH[name] // (2 if "half" in way else 1)
    batches = tf.data.Dataset.from_tensor_slices(images[:4096])
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    batches = batches.batch(size, drop_remainder=True).repeat().with_options(options)
    clock = Clock()
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=clock)
    flow.fit(batches, steps_per_epoch=WARM_UP + steps, callbacks=[callback], verbose=0)
    weights = sum(int(tf.size(weight)) for weight in flow.trainable_variables)
    print(json.dumps({"ms": 1000 * clock.median(), "weights": weights}))


class Clock:
    """Notes when each step ended."""

    def __init__(self):
        self.times = []

    def __call__(self, batch, logs):
        """A step ended."""
        self.times.append(time.perf_counter())

    def median(self):
        """Seconds of a step."""
        pairs = zip(self.times[WARM_UP:], self.times[WARM_UP + 1 :], strict=False)
        return statistics.median(end - start for start, end in pairs)


if __name__ == "__main__":
    main()
