"""The command `classify`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.cli.options import Dataset, Json, ManualDir, Overwrite, Resize, SkipUnreadable
from tfp_realnvp.cli.output import load, show

__all__ = ["classify"]


def classify(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|LABEL=RUN...",
            help="A run of `train --conditional`, or one for each label: 8=runs/eights 9=runs/mnist/transfer_9",
        ),
    ],
    images_dir: Annotated[
        Path | None,
        typer.Option(help="A folder of PNG files; default: the images of the test split."),
    ] = None,
    resize: Resize = False,
    skip_unreadable: SkipUnreadable = False,
    dataset: Dataset = None,
    manual_dir: ManualDir = None,
    unlike: Annotated[
        float | None,
        typer.Option(
            help="Also find images of none of the labels; such a share of the others may be taken for them: .01"
        ),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(help="For the results; default: RUN/classified, of the first run."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
):
    """Recognize the labels of images by Bayes' rule.

    The model is one of `train --conditional`, or there is one for each label, of `train` or `transfer`. Writes
    predictions.csv (a row for each image), classes.json, and for images with labels confusion.png and
    reliability.png. Probabilities are calibrated on images that were put aside. With --unlike, images that are
    like none of the labels have the label -1.

    Example: tfp-realnvp classify runs/digits --images-dir my_digits
    """
    by_label = _by_label(runs)
    recognition = load("recognition")
    result = recognition.classify(
        by_label,
        images_from=recognition.PngFolder(images_dir, resize, skip_unreadable),
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        unlike=unlike,
        output_dir=output_dir,
        overwrite=overwrite,
    )
    lines = [f"{result['images']:,} images were classified"]
    if "accuracy" in result:
        lines = [
            f"{result['accuracy']:.2%} of {result['images']:,} labels recognized, log loss "
            f"{result['log_loss']:.4f}, calibration error {result['calibration_error']:.4f}"
        ]
    if "of_no_label" in result:
        lines.append(f"{result['of_no_label']:,} images are of none of the labels")
    if "others_found" in result:
        lines.append(f"of those that truly are, {result['others_found']:.2%} were found")
    show(result, as_json, *lines, f"everything is in {result['output_dir']}")


def _by_label(runs: list[str]) -> dict[int | None, Path]:
    """The runs by their labels; a single run without a label by None."""
    if len(runs) == 1 and "=" not in runs[0]:
        return {None: Path(runs[0])}
    found: dict[int | None, Path] = {}
    for text in runs:
        match = re.fullmatch(r"(-?\d{1,10})=(.+)", text)
        if not match or int(match[1]) in found:
            raise ValueError(
                "expected one run, or a run for each label such as 8=runs/eights 9=runs/nines, received "
                f"{text!r}."
            )
        found[int(match[1])] = Path(match[2])
    if len(found) < 2:
        raise ValueError(f"expected runs for at least two labels, received {runs[0]!r} alone.")
    return found
