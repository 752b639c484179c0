"""What a multi-scale flow costs against scales, channels and image size: a table in Markdown.

    python benchmarks/cost.py

Each line is a process of its own. Rates are medians; memory is the process's peak, less what it had before
the flow was made.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

CASES = (
    # image shape, scales, channels
    ((8, 8, 1), 2, 64),
    ((28, 28, 1), 1, 64),
    ((28, 28, 1), 2, 16),
    ((28, 28, 1), 2, 32),
    ((28, 28, 1), 2, 64),
    ((28, 28, 1), 2, 128),
    ((32, 32, 3), 1, 64),
    ((32, 32, 3), 2, 64),
    ((32, 32, 3), 3, 64),
    ((64, 64, 3), 3, 64),
)
BATCH = 32
STEPS = 15


def measure(image_shape, scales, channels):
    """Parameters, images per second in training and in scoring, and memory of one flow."""
    import keras  # noqa: PLC0415  (the parent process does not need it)
    import numpy as np  # noqa: PLC0415

    from tfp_realnvp import MultiscaleRealNVP  # noqa: PLC0415
    from tfp_realnvp.config import default_precision  # noqa: PLC0415

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    images = np.random.default_rng(0).integers(256, size=(BATCH, *image_shape), dtype=np.uint8)
    flow = MultiscaleRealNVP(
        image_shape, scales=scales, channels=channels, dtype=default_precision()
    )
    flow.compile(keras.optimizers.Adam(1e-4, global_clipnorm=1.0))
    flow.adapt(images)

    def rate(step):
        step()
        seconds = []
        for _ in range(STEPS):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        return BATCH / statistics.median(seconds)

    return {
        "parameters": flow.count_params(),
        "training": rate(lambda: flow.train_on_batch(images)),
        "scoring": rate(lambda: flow.log_prob(images).numpy()),
        "sampling": rate(lambda: flow.sample(BATCH, seed=0).numpy()),
        "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def main():
    """Print the table, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    case = parser.parse_args().case
    if case:
        print(json.dumps(measure(*json.loads(case))))
        return
    print(
        "| images | scales | channels | parameters | training, images/s | scoring | sampling | memory, MB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for image_shape, scales, channels in CASES:
        process = subprocess.run(
            [sys.executable, __file__, "--case", json.dumps([image_shape, scales, channels])],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            check=True,
            capture_output=True,
            text=True,
        )
        row = json.loads(process.stdout.splitlines()[-1])
        print(
            f"| {'x'.join(map(str, image_shape))} | {scales} | {channels} | {row['parameters']:,} "
            f"| {row['training']:,.0f} | {row['scoring']:,.0f} | {row['sampling']:,.0f} "
            f"| {row['megabytes']:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
