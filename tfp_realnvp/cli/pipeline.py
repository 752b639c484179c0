"""The commands `pipeline ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from tfp_realnvp.cli.options import Json, integers
from tfp_realnvp.cli.output import quiet_start, show, show_bar

__all__ = ["pipeline"]

pipeline = typer.Typer(
    name="pipeline",
    no_args_is_help=True,
    help="Score or draw images in any number of files, with Apache Beam, on one machine or many.",
)

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A SavedModel, or the folder of its versions: saved_models/mnist_0_8 ...",
    ),
]
Output = Annotated[
    str,
    typer.Option(help="A new folder; an interrupted command goes on there. All workers see it."),
]
Batch = Annotated[int, typer.Option(min=1, help="Images that are computed at once.")]
BeamOptions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="BEAM_OPTIONS",
        help="Beam's own, after --: --runner=FlinkRunner, --direct_num_workers=2 ... None: this machine.",
    ),
]


@pipeline.command("score")
def score(
    model: Model,
    files: Annotated[
        str,
        typer.Argument(
            metavar="FILES", help="A folder of npz or TFRecord files, or a pattern: 'images/*.npz'."
        ),
    ],
    output_dir: Output,
    beam_options: BeamOptions = None,
    batch_size: Batch = 256,
    as_json: Json = False,
):
    """Score the images of many files: for each file, a CSV file with a row for each image.

    Needs the extra `beam`. MODEL, FILES and the folder may be wherever TensorFlow reads and writes, such as
    gs://, and must be seen by all workers. Files that were scored are not scored again.

    Example: tfp-realnvp pipeline score saved_models/mnist_0_8 'images/*.npz' --output-dir scores
    """
    with quiet_start():
        from tfp_realnvp.pipelines import score_files  # noqa: PLC0415
    with show_bar("scoring files") as advance:
        result = score_files(
            model,
            files,
            output_dir,
            batch_size=batch_size,
            options=beam_options or [],
            on_results=advance,
        )
    show(
        result,
        as_json,
        f"{result['bits_per_dim']:.4f} bits per dimension (standard error "
        f"{result['standard_error']:.4f}), {result['log_prob']:.1f} nats per image, "
        f"{result['images']:,} images in {result['files']:,} files",
        f"the scores of each image are in {output_dir}",
    )


@pipeline.command("sample")
def sample(
    model: Model,
    output_dir: Output,
    beam_options: BeamOptions = None,
    num: Annotated[int, typer.Option(min=1, help="Number of images.")] = 10_000,
    labels: Annotated[
        str | None, typer.Option(help="Of a model with labels, in turn: 9, 0-8 or 0,2,4-6.")
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="Below 1: more typical images, less varied.")
    ] = 1.0,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="The same seed gives the same images.")
    ] = 0,
    images_per_file: Annotated[int, typer.Option(min=1, help="The last file may have fewer.")] = (
        10_000
    ),
    batch_size: Batch = 256,
    as_json: Json = False,
):
    """Draw images into many npz files.

    Needs the extra `beam`. MODEL and the folder may be wherever TensorFlow reads and writes, such as gs://, and
    must be seen by all workers. Files that are there are not drawn again.

    Example: tfp-realnvp pipeline sample saved_models/mnist_0_8 --num 1000000 --output-dir drawn
    """
    chosen = integers(labels)
    with quiet_start():
        from tfp_realnvp.pipelines import draw_files  # noqa: PLC0415
    with show_bar("drawing files") as advance:
        result = draw_files(
            model,
            num,
            output_dir,
            labels=chosen,
            temperature=temperature,
            seed=seed,
            images_per_file=images_per_file,
            batch_size=batch_size,
            options=beam_options or [],
            on_results=advance,
        )
    show(
        result,
        as_json,
        f"{result['images']:,} images are in {result['files']:,} files in {output_dir}",
    )
