"""What the commands do that put a question to a distribution: score, fill, classify, anomalies and others."""

from __future__ import annotations

import csv
import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_realnvp import datasets, evaluation, flows, hardware, queries, views
from tfp_realnvp.cli.commands import load_data, show_bar
from tfp_realnvp.files import check_output, replacing, write_json
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.images import load_images
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["PngFolder", "anomalies", "classify", "diagnose", "fill", "information", "score"]

Result = dict[str, Any]


@dataclasses.dataclass
class PngFolder:
    """A folder of PNG files that a question is about.

    Attributes:
      folder: None for images of a data set instead.
      resize: whether images that do not fit the model are resized, and colours become grey.
      skip_unreadable: whether files that cannot be read are left out; their names are in `skipped` then.
    """

    folder: Path | None
    resize: bool = False
    skip_unreadable: bool = False
    skipped: list[str] = dataclasses.field(default_factory=list)

    def result(self) -> Result:
        """What a result says of files that were skipped."""
        return {"skipped": self.skipped} if self.skip_unreadable else {}

    def read(self, flow: flows.ImageFlow) -> tuple[list[str], np.ndarray]:
        """The names of the files, and their images."""
        images = {}
        for file in datasets.png_files(self.folder or ""):
            try:
                images[file.name] = datasets.read_png(
                    file, flow.image_shape, levels=flow.levels, resize=self.resize
                )
            except ValueError:
                if not self.skip_unreadable:
                    raise
                self.skipped.append(file.name)
        if not images:
            raise ValueError(
                f"none of the {len(self.skipped)} PNG files in {self.folder} can be read."
            )
        return list(images), np.stack(list(images.values()))


FOUND = ("anomalies.csv", "anomalies.json", "anomalies.png")  # what `anomalies` writes
SHOWN = 40  # anomalies in the picture
COMPARED = 20_000  # learned images that others are compared with
DIAGNOSED = ("latents.png", "bits.png", "diagnosis.json")  # what `diagnose` writes
FILLED = ("completions.png", "completions.npz")  # what `fill` writes
CLASSIFIED = ("predictions.csv", "classes.json", "confusion.png", "reliability.png")  # `classify`


def score(
    run_dir: Path,
    *,
    dataset: str | None,
    manual_dir: str | None,
    split: str,
    labels: Sequence[int],
    images_from: PngFolder,
    noise_samples: int,
    rarer: int,
    seed: int,
    output: Path | None,
    overwrite: bool,
) -> Result:
    """Score the images of a data set, by default those of the run's own, or the PNG files of a folder.

    With `output`, a row for each image is written as CSV. With `rarer`, it has the share of so many samples
    that are rarer, and with several `noise_samples` the importance-weighted bound.
    """
    hardware.use()
    if output is not None:
        check_output(output, overwrite=overwrite)
    run = RunFolder(run_dir)
    flow = run.load_model()
    names, images, known = _images(run, flow, images_from, dataset, manual_dir, split, labels)
    columns: dict[str, Any] = {"image": names}
    if noise_samples > 1:
        log_probs, errors = queries.log_prob_bound(
            flow, images, noise_samples=noise_samples, seed=seed
        )
        columns |= {"log_prob": log_probs, "log_prob_error": errors}
    else:
        log_prob = functools.partial(flow.log_prob, seed=seed)
        columns["log_prob"] = log_probs = _in_batches(log_prob, images)
    result: Result = {**evaluation.score(lambda _, values: values, images, log_probs)}
    columns["bits_per_dim"] = flows.pixels.bits_per_dim(log_probs, flow.image_shape)
    if flow.labels and known is not None and set(known) <= set(flow.labels):
        result["accuracy"] = evaluation.accuracy(flow.classify, images, known)
    if rarer:
        shares = queries.rarer_probability(flow, images, samples=rarer, seed=seed)
        result["rarer"] = {"samples": rarer, "mean": float(np.mean(shares.probability))}
        columns |= {"rarer_probability": shares.probability, "rarer_error": shares.standard_error}
    if output is not None:
        _write_csv(columns, output)
        result["output"] = str(output)
    return result | images_from.result()


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
    run, config, folder, flow = _begin(run_dir, "anomalies", FOUND, output_dir, overwrite)
    names, images, known = _images(run, flow, images_from, dataset, manual_dir, split, ())
    learned = load_images(config)
    train, classifier = learned.train, None
    if use_labels and len(np.unique(train.labels)) > 1:
        classifier = evaluation.Classifier(train.images, train.labels, levels=flow.levels)
    some = np.random.default_rng(0).permutation(len(train))[:COMPARED]
    detector = queries.AnomalyDetector(
        flow, train.images[some], classifier=classifier, false_positives=false_positives
    ).fit(learned.validation.images)
    surprises = detector.surprises(images)
    total = -detector.score_samples(images)
    found = total > -detector.offset_
    order = [position for position in np.argsort(-total, kind="stable") if found[position]]
    columns = {"image": names, "anomaly": found, "surprise": total}
    _write_csv({**columns, **surprises}, folder / FOUND[0])
    result: Result = {
        "images": len(images),
        "anomalies": len(order),
        "strangest": [names[position] for position in order[:SHOWN]],
        "threshold": -detector.offset_,
        "false_positives": false_positives,
        "output_dir": str(folder),
    }
    if known is not None and dataset is None and split == "test":
        same = np.isin(known, np.unique(train.labels))
        rate = queries.share_of(np.asarray(np.sum(found[same])), int(np.sum(same)))
        result["false_positive_rate"] = {
            "share": float(rate.probability),
            "low": float(rate.low),
            "high": float(rate.high),
        }
    if order:
        chosen = order[:SHOWN]
        weighed = {
            name: values + np.log(detector.shares_[name]) for name, values in surprises.items()
        }
        titles = [
            f"{max(weighed, key=lambda name: weighed[name][position])} {total[position]:.0f}"
            for position in chosen
        ]
        picture = views.titled_grid(images[chosen], titles, levels=flow.levels)
        views.write_png(picture, folder / FOUND[2])
    result |= images_from.result()
    write_json(result, folder / FOUND[1])
    return result


def classify(
    run_dir: Path,
    *,
    images_from: PngFolder,
    dataset: str | None,
    manual_dir: str | None,
    output_dir: Path | None,
    overwrite: bool,
) -> Result:
    """Recognize labels by Bayes' rule, with probabilities that are calibrated on validation images."""
    run, config, folder, flow = _begin(run_dir, "classified", CLASSIFIED, output_dir, overwrite)
    if not flow.labels:
        raise ValueError(
            f"the run in {run_dir} must be of a flow with labels: train it by `train --conditional`."
        )
    validation = load_images(config).validation
    classes = queries.ClassDistributions(flow).calibrate(validation.images, validation.labels)
    names, images, known = _images(run, flow, images_from, dataset, manual_dir, "test", flow.labels)
    probabilities = classes.predict_proba(images)
    found = classes.labels[np.argmax(probabilities, axis=1)]
    columns = {"image": names, "label": found, "probability": probabilities.max(axis=1)}
    result = {"images": len(images), "temperature": classes.temperature, "output_dir": str(folder)}
    if known is not None:
        columns["true_label"] = known
        scores = evaluation.score_classes(probabilities, known, classes.labels)
        views.write_png(
            views.confusion(np.array(scores["confusion"]), classes.labels), folder / CLASSIFIED[2]
        )
        views.write_png(views.reliability(scores["reliability"]), folder / CLASSIFIED[3])
        result |= scores
    result |= images_from.result()
    _write_csv(columns, folder / CLASSIFIED[0])
    write_json(result, folder / CLASSIFIED[1])
    return result


def diagnose(
    run_dir: Path,
    *,
    count: int,
    dataset: str | None,
    manual_dir: str | None,
    seed: int,
    output_dir: Path | None,
    overwrite: bool,
) -> Result:
    """Whether latents of test images are normal, and which pixels cost the bits."""
    run, config, folder, flow = _begin(run_dir, "diagnosis", DIAGNOSED, output_dir, overwrite)
    test = load_data(run, flow, dataset, manual_dir).test.without(config.hold_out)
    chosen = test.take(np.random.default_rng(seed).permutation(len(test))[:count])
    labels = chosen.labels if flow.labels else None
    diagnosis = queries.diagnose_latents(flow, chosen.images, labels, seed=seed)
    views.write_png(views.latent_plots(diagnosis.latents), folder / DIAGNOSED[0])
    result: Result = {"images": len(chosen), **diagnosis.summary(), "output_dir": str(folder)}
    if flow.dequantization == "uniform":
        some = chosen.take(np.arange(min(views.COLUMNS, len(chosen))))
        bits = flow.bits_per_pixel(some.images, some.labels if flow.labels else None).numpy()
        picture = views.bits_maps(some.images, bits, levels=flow.levels)
        views.write_png(picture, folder / DIAGNOSED[1])
    write_json(result, folder / DIAGNOSED[2])
    return result


def information(run_dir: Path, *, samples: int, seed: int) -> Result:
    """What a run's flow is, how much it leaves open, what it costs, and how it was trained."""
    hardware.use()
    run = RunFolder(run_dir)
    config = run.read_config()
    known = queries.information(run.load_model(), samples=samples, seed=seed)
    return {
        **known,
        "model_file_bytes": run.model.stat().st_size,
        "training": config["training"],
        "metrics": run.read_metrics(),
        "history": run.read_history(),
    }


def fill(
    run_dir: Path,
    *,
    mask: str,
    images_from: PngFolder,
    count: int,
    num: int,
    steps: int,
    temperature: float,
    dataset: str | None,
    manual_dir: str | None,
    seed: int,
    output_dir: Path | None,
    overwrite: bool,
) -> Result:
    """Fill in what is missing of test images, or of the PNG files of a folder, `num` times each."""
    name = f"filled_{Path(mask).stem}"
    run, config, folder, flow = _begin(run_dir, name, FILLED, output_dir, overwrite)
    if images_from.folder is not None:
        _, images = images_from.read(flow)
    else:
        test = load_data(run, flow, dataset, manual_dir).test.images
        images = test[np.random.default_rng(seed).permutation(len(test))[:count]]
    observed = _mask(mask, flow.image_shape, seed)
    of_chains: Result = {}
    started = time.monotonic()
    if flows.missing.is_told_the_rest(flow):
        completions = queries.fill_missing(
            flow, images, observed, n=num, temperature=temperature, seed=seed
        )
    else:
        learned = load_images(config).train.images
        with show_bar("walking", total=steps) as advance:
            filled = queries.fill_by_chain(
                flow, images, observed, learned, n=num, steps=steps, seed=seed, on_step=advance
            )
        completions, reduction = filled.completions, float(filled.scale_reduction.max())
        of_chains = {
            "acceptance": float(filled.acceptance.mean()),
            # of a single chain there is none, nor of chains that never moved
            "scale_reduction": reduction if math.isfinite(reduction) else None,
        }
    seconds = time.monotonic() - started
    holes = np.where(observed, images, flow.levels // 2).astype(np.uint8)
    shown = completions[:, : views.COLUMNS]
    rows = np.concatenate([holes[:, np.newaxis], shown], axis=1)[: views.COLUMNS]
    grid = views.grid(
        rows.reshape(-1, *flow.image_shape), columns=rows.shape[1], levels=flow.levels
    )
    views.write_png(grid, folder / FILLED[0], scale=views.scale_for(images))
    with replacing(folder / FILLED[1]) as temporary:
        np.savez_compressed(temporary, observed=holes, mask=observed, completions=completions)
    return {
        "images": len(images),
        "completions": num,
        "missing": float(np.mean(~observed)),
        "spread": float(np.mean(completions.std(axis=1)[:, ~observed[..., 0]])),
        "seconds": round(seconds, 1),
        **of_chains,
        **images_from.result(),
        "output_dir": str(folder),
    }


def _mask(mask: str, image_shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """The mask of a name, or of a PNG file that is dark where images are missing."""
    if not mask.lower().endswith(".png"):
        return queries.named_mask(mask, image_shape, seed=seed)
    return datasets.read_png(mask, (*image_shape[:2], 1), levels=2).astype(bool)


def _begin(
    run_dir: Path, name: str, files: Sequence[str], output_dir: Path | None, overwrite: bool
) -> tuple[RunFolder, TrainingConfig, Path, flows.ImageFlow]:
    """The run, its configuration, the folder for the results (RUN/`name` by default), and the run's flow."""
    hardware.use()
    run = RunFolder(run_dir)
    config = TrainingConfig.from_json(run.read_config())
    folder = output_dir or run_dir / name
    for file in files:
        check_output(folder / file, overwrite=overwrite or output_dir is None)
    return run, config, folder, run.load_model()


def _images(
    run: RunFolder,
    flow: flows.ImageFlow,
    images_from: PngFolder,
    dataset: str | None,
    manual_dir: str | None,
    split: str,
    labels: Sequence[int],
) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """Names, images and labels: of the PNG files of a folder, without labels, or of a data set."""
    if images_from.folder is not None:
        return *images_from.read(flow), None
    data = load_data(run, flow, dataset, manual_dir)
    chosen = {"train": data.train, "test": data.test}[split]
    if labels:
        chosen = chosen.only(labels)
    return list(map(str, range(len(chosen)))), chosen.images, chosen.labels


def _in_batches(log_prob, images: np.ndarray) -> np.ndarray:
    size = evaluation.BATCH
    return np.concatenate(
        [log_prob(images[start : start + size]) for start in range(0, len(images), size)]
    )


def _write_csv(columns: Mapping[str, Any], path: Path) -> None:
    """A line of titles, then a row for each image."""
    with replacing(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(_rows(columns))


def _rows(columns: Mapping[str, Any]) -> Iterator[tuple]:
    return zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True)
