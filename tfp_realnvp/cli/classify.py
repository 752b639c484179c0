"""The command `classify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.cli.options import Dataset, Json, ManualDir, Overwrite, Resize, Run, SkipUnreadable
from tfp_realnvp.cli.output import load_questions, show

__all__ = ["classify"]


def classify(
    run: Run,
    images_dir: Annotated[
        Path | None,
        typer.Option(help="A folder of PNG files; default: the images of the test split."),
    ] = None,
    resize: Resize = False,
    skip_unreadable: SkipUnreadable = False,
    dataset: Dataset = None,
    manual_dir: ManualDir = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="For the results; default: RUN/classified.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
):
    """Recognize the labels of images by Bayes' rule.

    The model must be one of `train --conditional`. Writes predictions.csv (a row for each image), classes.json,
    and for images with labels confusion.png and reliability.png. Probabilities are calibrated on validation
    images.

    Example: tfp-realnvp classify runs/digits --images-dir my_digits
    """
    questions = load_questions()
    result = questions.classify(
        run,
        images_from=questions.PngFolder(images_dir, resize, skip_unreadable),
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        output_dir=output_dir,
        overwrite=overwrite,
    )
    lines = [f"{result['images']:,} images were classified"]
    if "accuracy" in result:
        lines = [
            f"{result['accuracy']:.2%} of {result['images']:,} labels recognized, log loss "
            f"{result['log_loss']:.4f}, calibration error {result['calibration_error']:.4f}"
        ]
    show(result, as_json, *lines, f"everything is in {result['output_dir']}")
