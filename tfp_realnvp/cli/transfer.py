"""The command `transfer`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp.cli.options import Dataset, Json, ManualDir, Overwrite, Run, Seed
from tfp_realnvp.cli.output import load, show, transfer_lines
from tfp_realnvp.fewshot.route import (
    ADAPTED,
    FOR_PICTURES,
    INTRINSIC_DIMENSION,
    INTRINSIC_DIMENSION_OF_MAPS,
    LATENT_VARIANCE_FLOOR,
    Covariance,
    Route,
    Space,
)

__all__ = ["transfer"]


def transfer(
    run: Run,
    label: Annotated[int, typer.Option(help="Of the shots, one that was held out.")] = 9,
    shots: Annotated[
        int, typer.Option(help="Number of examples, at least 1, or 2 with --no-adapt.")
    ] = 10,
    shots_dir: Annotated[
        Path | None, typer.Option(help="A folder of PNG files to take as shots instead.")
    ] = None,
    given: Annotated[
        int | None,
        typer.Option(
            help="The label that a class-conditional model is told for them, one it learned."
        ),
    ] = None,
    adapt: Annotated[
        bool,
        typer.Option(
            "--adapt/--no-adapt",
            help="First train a copy of the flow on from the shots, turned and moved a little, for a "
            "minute or two; without, a single shot is not enough.",
        ),
    ] = True,
    space: Annotated[
        Space,
        typer.Option(
            help="Where the distribution is that is kept, drawn from and exported: pixels is the baseline, "
            "without a flow."
        ),
    ] = "latents",
    maps: Annotated[
        int | None,
        typer.Option(
            help="Affine maps of the shots that the Gaussian is fitted to, too; default: "
            f"{ADAPTED.maps}, or {FOR_PICTURES.maps} with --no-adapt."
        ),
    ] = None,
    covariance: Annotated[
        Covariance,
        typer.Option(help="Of the Gaussian in latent space; diagonal is the original's."),
    ] = ADAPTED.covariance,
    intrinsic_dimension: Annotated[
        int | None,
        typer.Option(
            help="With full: directions with a covariance of their own; default: "
            f"{INTRINSIC_DIMENSION}, or {INTRINSIC_DIMENSION_OF_MAPS} with maps, if there are enough."
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Scale of the Gaussian's spread; default: "
            f"{ADAPTED.temperature}, or {FOR_PICTURES.temperature} with --no-adapt."
        ),
    ] = None,
    bandwidth: Annotated[
        float | None,
        typer.Option(
            help="Below 1, a mixture of Gaussians around the shots and maps; default: "
            f"{ADAPTED.bandwidth}, or {FOR_PICTURES.bandwidth:g} with --no-adapt."
        ),
    ] = None,
    variance_floor: Annotated[
        float, typer.Option(help="Smallest variance of a direction in latent space.")
    ] = LATENT_VARIANCE_FLOOR,
    num: Annotated[int, typer.Option(min=1, help="Images in samples.png.")] = 40,
    dataset: Dataset = None,
    manual_dir: ManualDir = None,
    seed: Seed = 0,
    output_dir: Annotated[
        Path | None,
        typer.Option(help="For the results; default: RUN/transfer_LABEL, or RUN/transfer."),
    ] = None,
    export_to: Annotated[
        Path | None,
        typer.Option("--export", help="Export a SavedModel, too: saved_models/NAME."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
):
    """Draw more of something never seen from a few examples.

    Trains a copy of the flow on from the shots, maps them to latents, fits a mixture of Gaussians there,
    samples, and maps back. Writes comparison.png (beside the same on pixels), samples.png, metrics.json, and
    the distribution as a run folder, for `sample`, `score` and all other commands that take one.
    The original's way is --no-adapt --covariance diagonal --temperature 1.

    Example: tfp-realnvp transfer saved_models/mnist_0_8 --shots-dir my_letters
    """
    adapt = adapt and space == "latents"
    default = ADAPTED if adapt else FOR_PICTURES
    route = Route(
        covariance=covariance,
        intrinsic_dimension=intrinsic_dimension,
        temperature=default.temperature if temperature is None else temperature,
        bandwidth=default.bandwidth if bandwidth is None else bandwidth,
        variance_floor=variance_floor,
        adapted=adapt,
        maps=default.maps if maps is None else maps,
    )
    result = load("transfers").transfer(
        run,
        route,
        label=label,
        shots=shots,
        shots_dir=shots_dir,
        given=given,
        space=space,
        num=num,
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        seed=seed,
        output_dir=output_dir,
        overwrite=overwrite,
        export_to=export_to,
    )
    lines = [*transfer_lines(result), f"pictures are in {result['output_dir']}"]
    if export_to is not None:
        lines.append(f"the SavedModel is in {result['saved_model']}")
    show(result, as_json, *lines)
