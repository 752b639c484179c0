"""How well a flow fills in what is missing of test images, beside what needs no flow: a table in Markdown.

    python benchmarks/fill.py RUN --images 500 --temperature 0.6

RUN is a run folder of `train --fill`. RMSE is over the missing pixels, from 0 to 1. "Read" is the share of the
completed images whose label is recognized by a classifier that learned the training images. The spread is the
standard deviation of a pixel between the completions of an image, over the missing pixels.
"""

import time

import numpy as np
from internals import RunFolder, TrainingConfig
from shared import make_parser, print_header, print_row

from tfp_realnvp import datasets, evaluation, hardware, queries

MASKS = ("lower", "scattered", "square")


def nearest(images, observed, learned):
    """For each image the one of those learned that is nearest in the pixels that are observed."""
    pixels = learned[:, observed].astype(np.float32)
    norms = np.sum(pixels**2, axis=1)
    wanted = images[:, observed].astype(np.float32)
    return learned[np.argmin(norms - 2 * wanted @ pixels.T, axis=1)]


def main():
    """Print the table."""
    parser = make_parser(__doc__, mnist=None)
    parser.add_argument("run", metavar="RUN", help="a run folder of `train --fill`")
    parser.add_argument("--images", type=int, default=500, help="test images; default: 500")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the latents; default: 1")
    parser.add_argument("--num", type=int, default=16, help="completions of each; default: 16")
    options = parser.parse_args()
    hardware.use()
    run = RunFolder(options.run)
    config, flow = TrainingConfig.from_json(run.read_config()), run.load_model()
    data = datasets.load(config.dataset, manual_dir=config.manual_dir)
    train, test = (part.without(config.hold_out) for part in (data.train, data.test))
    chosen = test.take(np.random.default_rng(0).permutation(len(test))[: options.images])
    classifier = evaluation.Classifier(train.images, train.labels, levels=flow.levels)
    read = evaluation.accuracy(classifier.recognize, chosen.images, chosen.labels)
    print(f"\n{len(chosen.images)} test images, {read:.1%} of them read whole\n")
    queries.fill_missing(
        flow, chosen.images, queries.named_mask("upper", flow.image_shape), n=options.num
    )  # compiles
    print_header("missing", "completion", "RMSE", "read", "spread", "images/s")
    for name in MASKS:
        mask = queries.named_mask(name, flow.image_shape)
        observed = np.broadcast_to(mask, flow.image_shape)
        started = time.perf_counter()
        drawn = queries.fill_missing(
            flow, chosen.images, mask, n=options.num, temperature=options.temperature
        )
        speed = f"{drawn.shape[0] * drawn.shape[1] / (time.perf_counter() - started):.0f}"
        close = np.where(mask, chosen.images, nearest(chosen.images, observed, train.images))
        spread = f"{drawn.std(axis=1)[:, ~observed].mean() / (flow.levels - 1):.3f}"
        rows = {
            "left black": (np.where(mask, chosen.images, 0)[:, np.newaxis], "", ""),
            "the nearest training image's": (close[:, np.newaxis], "", ""),
            "one of the flow's": (drawn[:, :1], "", ""),
            f"the mean of {options.num} of the flow's": (
                np.round(drawn.mean(axis=1, keepdims=True)),
                spread,
                speed,
            ),
        }
        for title, (completed, *rest) in rows.items():
            error = (completed - chosen.images[:, np.newaxis].astype(float))[:, :, ~observed]
            rmse = np.sqrt(np.mean(error**2)) / (flow.levels - 1)
            images = completed[:, 0].astype(np.uint8)
            read = evaluation.accuracy(classifier.recognize, images, chosen.labels)
            print_row(name, title, f"{rmse:.3f}", f"{read:.1%}", *rest)


if __name__ == "__main__":
    main()
