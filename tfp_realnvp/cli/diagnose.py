"""The command `diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.cli.options import Dataset, Json, ManualDir, Overwrite, Run, Seed
from tfp_realnvp.cli.output import load, show

__all__ = ["diagnose"]


def diagnose(
    run: Run,
    images: Annotated[int, typer.Option(min=2, help="How many of the test split.")] = 1000,
    dataset: Dataset = None,
    manual_dir: ManualDir = None,
    seed: Seed = 0,
    output_dir: Annotated[
        Path | None, typer.Option(help="For the results; default: RUN/diagnosis.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
):
    """Look whether a model is any good: are the latents of test images normal, and which pixels cost the bits?

    Writes latents.png (their histogram, and maps of their means and deviations), bits.png (images, and the bits
    of each pixel) and diagnosis.json.

    Example: tfp-realnvp diagnose saved_models/mnist_0_8
    """
    result = load("questions").diagnose(
        run,
        count=images,
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        seed=seed,
        output_dir=output_dir,
        overwrite=overwrite,
    )
    lines = [
        f"{result['latents']:,} latents: mean {result['mean']:.3f}, standard deviation "
        f"{result['standard_deviation']:.3f}, excess kurtosis {result['excess_kurtosis']:.2f} (0, 1, 0 if the "
        "model is right)",
        *(
            f"beyond {tail} standard deviations: {row['share']:.2e} (normal: {row['expected']:.2e})"
            for tail, row in result["beyond"].items()
        ),
    ]
    show(result, as_json, *lines, f"everything is in {result['output_dir']}")
