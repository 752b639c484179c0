"""What it is worth to tell a flow something of each image: a table in Markdown, and a picture.

    python benchmarks/told.py --mnist FOLDER --minutes 4 --picture told.png

Multi-scale flows of MNIST's ten digits, with the options of `train --goal speed`, each trained for so long: one
that is told nothing, one that is told the label, and one that is told the image at half the size (14x14
pixels). The picture has test images, what the last flow is told of them, and what it draws from that.
"""

import time
from pathlib import Path

import numpy as np
from internals import GOALS, AverageWeights, Budget, CountSteps, LearningRate, StopInTime
from shared import make_parser, print_header, print_row

from tfp_realnvp import MultiscaleRealNVP, datasets, evaluation, hardware, views
from tfp_realnvp.optimizers import Adam

BATCH = 32
SHOWN = 10
CASES = {
    "nothing": lambda images, labels: {"images": images},
    "the label": lambda images, labels: {"images": images, "labels": labels},
    "the image at half the size": lambda images, labels: {"images": images, "context": half(images)},
}  # fmt: skip


def half(images):
    """Images at half the size, of about unit scale: float32 [n, height / 2, width / 2, channels]."""
    parts = [images[:, row::2, column::2].astype(np.float32) for row in (0, 1) for column in (0, 1)]
    return np.mean(parts, axis=0) / 127.5 - 1


def main():
    """Print the table."""
    parser = make_parser(__doc__, mnist="required")
    parser.add_argument("--minutes", type=float, default=4, help="of each training; default: 4")
    parser.add_argument("--images", type=int, help="only so many for training and scoring")
    parser.add_argument("--picture", type=Path, help="a PNG to write")
    options = parser.parse_args()
    hardware.use()
    data = datasets.load(f"idx:{options.mnist}")
    train, test = (
        part.take(np.arange(len(part))[: options.images]) for part in (data.train, data.test)
    )
    print_header("told", "test, bits per dimension", "standard error", "training, images/s")
    for told, columns_of in CASES.items():
        columns = columns_of(train.images, train.labels)
        context = columns.get("context")
        flow = MultiscaleRealNVP(
            data.image_shape,
            labels=range(10) if "labels" in columns else (),
            context_shape=None if context is None else context.shape[1:],
            seed=0,
            dtype=hardware.default_precision(),
            **GOALS["speed"],
        )
        flow, speed = fit(flow, columns, 60 * options.minutes)
        bits = score(flow, columns_of(test.images, test.labels))
        print_row(
            told, f"{bits['bits_per_dim']:.4f}", f"{bits['standard_error']:.4f}", f"{speed:.0f}"
        )
    if options.picture:
        views.write_png(picture(flow, test.images[:SHOWN]), options.picture, scale=2)


def fit(flow, columns, seconds):
    """Train for so long, as `train` does; the flow with averaged weights, and images per second."""
    flow.adapt(columns)
    average = type(flow).from_config(flow.get_config())
    average.set_weights(flow.get_weights())
    budget = Budget(steps=10**6, seconds=seconds, started=time.monotonic())
    flow.compile(optimizer=Adam(2e-3, global_clipnorm=1.0))
    callbacks = [
        CountSteps(budget),
        LearningRate(2e-3, budget, warm_up=100, final_rate=0.02),
        AverageWeights(average, budget),
        StopInTime(budget, batch_size=BATCH),
    ]
    flow.fit(columns, epochs=1000, batch_size=BATCH, verbose=0, callbacks=callbacks)
    return average, budget.step * BATCH / budget.elapsed()


def score(flow, columns):
    """Bits per dimension of test images."""
    told = {name: column for name, column in columns.items() if name != "images"}
    starts = range(0, len(columns["images"]), 1000)
    log_probs = np.concatenate(
        [
            flow.log_prob(
                columns["images"][start : start + 1000],
                **{name: column[start : start + 1000] for name, column in told.items()},
            )
            for start in starts
        ]
    )
    return evaluation.score(lambda _, values: values, columns["images"], log_probs)


def picture(flow, images):
    """Rows: images, what is told of them, three that are drawn."""
    context = half(images)
    told = np.round((context + 1) * 127.5).astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)
    drawn = [flow.sample(len(images), context=context, seed=seed).numpy() for seed in range(3)]
    return views.grid(np.concatenate([images, told, *drawn]), columns=len(images), levels=256)


if __name__ == "__main__":
    main()
