"""Which anomalies does the detector see, and which of its scores sees them? Tables in Markdown.

    python benchmarks/anomalies.py saved_models/mnist_0_8 --fashion FOLDER

AUROC against test images of the labels that were learned: the probability that an anomaly is stranger than one
of them. Then the shares that are called anomalies, with thresholds for one false one in a thousand and in a
hundred. No anomaly was used to build the detector. FOLDER has the four idx files of Fashion-MNIST; without it
that column is left out.
"""

import numpy as np
from internals import RunFolder, TrainingConfig, load_images
from shared import make_parser, print_header, print_row
from sklearn.metrics import roc_auc_score

from tfp_realnvp import datasets, evaluation, hardware, queries

LEARNED = 16_000  # images that others are compared with
COUNT = 2000  # images of each kind


def kinds(images, fashion):
    """Images that are not like those learned, by what is wrong with them."""
    random, some = np.random.default_rng(0), images.test.images[:COUNT]
    levels, shape = images.levels, images.image_shape
    made = {
        "held-out label": images.held_out.images,
        "turned by 90 degrees": np.ascontiguousarray(np.rot90(some, axes=(1, 2))),
        "nearly black": random.integers(max(2, levels // 64), size=(COUNT, *shape), dtype=np.uint8),
        "noise": random.integers(levels, size=(COUNT, *shape), dtype=np.uint8),
        "inverted": levels - 1 - some,
    }
    if fashion:
        made["Fashion-MNIST"] = datasets.load(f"idx:{fashion}").test.images[:COUNT]
    return made


def auroc(normal, strange):
    """For surprises of normal and of strange images."""
    truth = np.repeat([0, 1], [len(normal), len(strange)])
    return f"{roc_auc_score(truth, np.concatenate([normal, strange])):.3f}"


def main():
    """Print the tables."""
    parser = make_parser(__doc__, mnist=None)
    parser.add_argument(
        "run", metavar="RUN", help="a run folder with labels held out, or one in saved_models"
    )
    parser.add_argument("--fashion", metavar="FOLDER", help="with the idx files of Fashion-MNIST")
    options = parser.parse_args()
    hardware.use()
    run = RunFolder(options.run)
    flow, images = run.load_model(), load_images(TrainingConfig.from_json(run.read_config()))
    learned = images.train.take(np.random.default_rng(0).permutation(len(images.train))[:LEARNED])
    classifier = evaluation.Classifier(images.train.images, images.train.labels, levels=flow.levels)
    strange = kinds(images, options.fashion)
    for title, given in (("without labels", None), ("with labels", classifier)):
        detector = queries.AnomalyDetector(flow, learned.images, classifier=given)
        detector.fit(images.validation.images)
        print(f"\n{title}\n")
        print_header("AUROC", *strange)
        normal = detector.surprises(images.test.images)
        found = {name: detector.surprises(kind) for name, kind in strange.items()}
        for score in normal:
            print_row(score, *(auroc(normal[score], values[score]) for values in found.values()))
        whole = -detector.score_samples(images.test.images)
        scores = {name: -detector.score_samples(kind) for name, kind in strange.items()}
        print_row("**all together**", *(auroc(whole, values) for values in scores.values()))
        for share in (0.001, 0.01):
            detector.set_params(false_positives=share).fit(images.validation.images)
            rate = detector.false_positive_rate(images.test.images)
            print_row(
                f"found at {share:.1%} ({float(rate.low[0]):.2%} to {float(rate.high[0]):.2%} of test images)",
                *(f"{np.mean(values > -detector.offset_):.1%}" for values in scores.values()),
            )


if __name__ == "__main__":
    main()
