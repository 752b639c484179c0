"""The command `anomalies`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tfp_realnvp.cli.options import Dataset, Json, ManualDir, Overwrite, Resize, Run, SkipUnreadable
from tfp_realnvp.cli.output import load, show

__all__ = ["anomalies"]


def anomalies(
    run: Run,
    images_dir: Annotated[
        Path | None,
        typer.Option(help="A folder of PNG files; default: the images of a data set."),
    ] = None,
    resize: Resize = False,
    skip_unreadable: SkipUnreadable = False,
    dataset: Dataset = None,
    manual_dir: ManualDir = None,
    split: Annotated[
        Literal["train", "test"], typer.Option(help="Which part of the data set.")
    ] = "test",
    false_positives: Annotated[
        float,
        typer.Option(help="Share of images like those learned that may be called anomalies."),
    ] = 0.001,
    use_labels: Annotated[
        bool,
        typer.Option(
            "--labels/--no-labels",
            help="First train a classifier of the labels of the learned images, for a minute or two (it is "
            "kept in the folder): it sees things with another meaning, such as a new digit.",
        ),
    ] = True,
    output_dir: Annotated[
        Path | None, typer.Option(help="For the results; default: RUN/anomalies.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
):
    """Find images that are not like those learned.

    The threshold is chosen on the run's validation images. Writes anomalies.csv (a row for each image),
    anomalies.png (the strangest images, each with the score that found it) and anomalies.json.

    Example: tfp-realnvp anomalies saved_models/mnist_0_8 --images-dir my_letters
    """
    recognition = load("recognition")
    result = recognition.anomalies(
        run,
        images_from=recognition.PngFolder(images_dir, resize, skip_unreadable),
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        split=split,
        false_positives=false_positives,
        use_labels=use_labels,
        output_dir=output_dir,
        overwrite=overwrite,
    )
    lines = [f"{result['anomalies']:,} of {result['images']:,} images are anomalies"]
    if rate := result.get("false_positive_rate"):
        lines.append(
            f"of those with labels that were learned {rate['share']:.2%} (95 % interval: {rate['low']:.2%} to "
            f"{rate['high']:.2%})"
        )
    show(result, as_json, *lines, f"everything is in {result['output_dir']}")
