"""What `anomalies` and `classify` do: is an image like those learned, and of which label is it?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp import datasets, evaluation, flows, queries, views
from tfp_realnvp.cli.asked import (
    PngFolder,
    begin,
    images_asked,
    images_of_label,
    learned_images,
    write_csv,
)
from tfp_realnvp.files import write_json
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["PngFolder", "anomalies", "classify"]

Result = dict[str, Any]

FOUND = ("anomalies.csv", "anomalies.json", "anomalies.png")  # what `anomalies` writes
CLASSIFIED = ("predictions.csv", "classes.json", "confusion.png", "reliability.png")  # `classify`
SHOWN = 40  # anomalies in the picture
COMPARED = 20_000  # learned images that others are compared with
NONE = -1  # the label of images that are of none of the classes

# the distributions of labels, images that they have learned from, and others like them
Classes = tuple[queries.ClassDistributions, datasets.LabelledImages, datasets.LabelledImages]


def anomalies(
    run_dir: Path,
    *,
    images_from: PngFolder,
    dataset: str | None,
    manual_dir: str | None,
    split: str,
    false_positives: float,
    use_labels: bool,
    output_dir: Path | None,
    overwrite: bool,
) -> Result:
    """Find images that are not like those that a run learned, with a threshold from its validation images."""
    run, folder, flow = begin(run_dir, "anomalies", FOUND, output_dir, overwrite)
    names, images, known = images_asked(run, flow, images_from, dataset, manual_dir, split, ())
    train, others = learned_images(run, flow)
    detector = _detector(
        flow, train, others, flow.levels, folder, false_positives, use_labels=use_labels
    )
    surprises = detector.surprises(images)
    total = -detector.score_samples(images)
    found = total > -detector.offset_
    order = [position for position in np.argsort(-total, kind="stable") if found[position]]
    columns = {"image": names, "anomaly": found, "surprise": total}
    write_csv({**columns, **surprises}, folder / FOUND[0])
    result: Result = {
        "images": len(images),
        "anomalies": len(order),
        "strangest": [names[position] for position in order[:SHOWN]],
        "threshold": -detector.offset_,
        "false_positives": false_positives,
        "output_dir": str(folder),
    }
    if known is not None and dataset is None and split == "test":
        of_learned = found[np.isin(known, np.unique(train.labels))]
        rate = queries.share_of(np.asarray(np.sum(of_learned)), len(of_learned))
        result["false_positive_rate"] = {
            "share": float(rate.probability),
            "low": float(rate.low),
            "high": float(rate.high),
        }
    if order:
        titles = [f"{name} {total[row]:.0f}" for row, name in _found_by(detector, surprises, order)]
        picture = views.titled_grid(images[order[:SHOWN]], titles, levels=flow.levels)
        views.write_png(picture, folder / FOUND[2])
    result |= images_from.result()
    write_json(result, folder / FOUND[1])
    return result


def _found_by(
    detector: queries.AnomalyDetector, surprises: Mapping[str, np.ndarray], order: Sequence[int]
) -> list[tuple[int, str]]:
    """The first images, each with the name of the score by which it is strangest."""
    weighed = {name: values + np.log(detector.shares_[name]) for name, values in surprises.items()}
    return [(row, max(weighed, key=lambda name: weighed[name][row])) for row in order[:SHOWN]]


def _detector(
    distribution: Any,
    train: datasets.LabelledImages,
    others: datasets.LabelledImages,
    levels: int,
    folder: Path,
    false_positives: float,
    *,
    use_labels: bool,
) -> queries.AnomalyDetector:
    """A detector of what is not like the images for training, whose threshold rests on others like them.

    With labels, a classifier of them is trained, and kept in the folder.
    """
    classifier = None
    if use_labels and len(np.unique(train.labels)) > 1:
        digest = hashlib.sha256(train.images.tobytes() + train.labels.astype("<i8").tobytes())
        cache = folder / f"classifier_{digest.hexdigest()[:16]}.keras"
        classifier = evaluation.Classifier(train.images, train.labels, levels=levels, cache=cache)
    some = np.random.default_rng(0).permutation(len(train))[:COMPARED]
    return queries.AnomalyDetector(
        distribution,
        train.images[some],
        classifier=classifier,
        false_positives=false_positives,
    ).fit(others.images)


def classify(
    runs: Mapping[int | None, Path],
    *,
    images_from: PngFolder,
    dataset: str | None,
    manual_dir: str | None,
    unlike: float | None,
    output_dir: Path | None,
    overwrite: bool,
) -> Result:
    """Recognize labels by Bayes' rule, with probabilities that are calibrated on images that were put aside.

    The runs are one of a flow with labels (its key is None), or one for each label. With `unlike`, this share
    of the images that are put aside may be called images of no label.
    """
    first, *_ = runs.values()
    run, folder, flow = begin(first, "classified", CLASSIFIED, output_dir, overwrite)
    if None in runs:
        classes, train, validation = _classes_of_flow(run, flow)
    else:
        classes, train, validation = _classes_of_runs(
            {label: RunFolder(path) for label, path in runs.items() if label is not None}
        )
    classes.calibrate(validation.images, validation.labels)
    labels = classes.labels.tolist() if unlike is None else None
    names, images, known = images_asked(run, flow, images_from, dataset, manual_dir, "test", labels)
    probabilities = classes.predict_proba(images)
    found = classes.labels[np.argmax(probabilities, axis=1)]
    result: Result = {
        "images": len(images),
        "temperature": classes.temperature,
        "output_dir": str(folder),
    }
    if known is not None:
        result |= _scores(classes, probabilities, known, folder)
    if unlike is not None:
        detector = _detector(
            classes, train, validation, flow.levels, folder, unlike, use_labels=True
        )
        is_like = detector.predict(images) == 1
        found = np.where(is_like, found, NONE)
        result |= {"false_positives": unlike, "of_no_label": int(np.sum(~is_like))}
        if known is not None and not (is_known := np.isin(known, classes.labels)).all():
            result["others_found"] = float(np.mean(~is_like[~is_known]))
    columns = {"image": names, "label": found, "probability": probabilities.max(axis=1)}
    if known is not None:
        columns["true_label"] = known
    result |= images_from.result()
    write_csv(columns, folder / CLASSIFIED[0])
    write_json(result, folder / CLASSIFIED[1])
    return result


def _classes_of_flow(run: RunFolder, flow: flows.ImageFlow) -> Classes:
    if not flow.labels:
        raise ValueError(
            f"the run in {run.path} must be of a flow with labels: train it by `train --conditional`, or give "
            "a run for each label, as LABEL=RUN."
        )
    return (queries.ClassDistributions(flow), *learned_images(run, flow))


def _classes_of_runs(runs: Mapping[int, RunFolder]) -> Classes:
    distributions = {label: run.load_model() for label, run in runs.items()}
    parts = [images_of_label(runs[label], distributions[label], label) for label in sorted(runs)]
    train, validation = (datasets.concatenate(part) for part in zip(*parts, strict=True))
    return queries.ClassDistributions(distributions), train, validation


def _scores(
    classes: queries.ClassDistributions, probabilities: np.ndarray, known: np.ndarray, folder: Path
) -> Result:
    """The scores of the images whose labels the classes have, and two pictures of them."""
    rows = np.isin(known, classes.labels)
    scores = evaluation.score_classes(probabilities[rows], known[rows], classes.labels)
    confusion = views.confusion(np.array(scores["confusion"]), classes.labels)
    views.write_png(confusion, folder / CLASSIFIED[2])
    views.write_png(views.reliability(scores["reliability"]), folder / CLASSIFIED[3])
    return scores
