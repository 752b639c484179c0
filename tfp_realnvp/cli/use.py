"""The commands that use what was trained, and `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tfp_realnvp.cli.options import Json, ManualDir, Run, Seed, integers
from tfp_realnvp.cli.output import load_commands, show, summary, transfer_lines

__all__ = ["demo", "export", "morph", "sample", "score", "transfer"]


def sample(
    run: Run,
    num: Annotated[int, typer.Option(help="How many.")] = 40,
    labels: Annotated[
        str | None, typer.Option(help="Of a class-conditional flow, in turn: 9, 0-8 or 0,2,4-6.")
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="Below 1: more typical images, less varied.")
    ] = 1.0,
    seed: Seed = 0,
    output: Annotated[Path | None, typer.Option(help="A PNG; default: RUN/drawn.png.")] = None,
    as_json: Json = False,
):
    """Draw new images, as a grid in a PNG."""
    chosen = integers(labels)
    commands = load_commands()
    result = commands.sample(
        run, num=num, labels=chosen, temperature=temperature, seed=seed, output=output
    )
    show(result, as_json, f"{num} images are in {result['output']}")


def score(
    run: Run,
    dataset: Annotated[
        str | None, typer.Option(help="As in `train`; default: the run's own.")
    ] = None,
    manual_dir: ManualDir = None,
    split: Annotated[
        Literal["train", "test"], typer.Option(help="Which part of the data set.")
    ] = "test",
    labels: Annotated[str | None, typer.Option(help="Only these: 9, 0-8 or 0,2,4-6.")] = None,
    as_json: Json = False,
):
    """Score images: bits per dimension, lower is better."""
    chosen = integers(labels)
    commands = load_commands()
    result = commands.score(
        run,
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        split=split,
        labels=chosen,
    )
    show(
        result,
        as_json,
        f"{result['bits_per_dim']:.4f} bits per dimension (standard error "
        f"{result['standard_error']:.4f}), {result['log_prob']:.1f} nats per image, "
        f"{result['images']:,} images"
        + (f", {result['accuracy']:.2%} of labels recognized" if "accuracy" in result else ""),
    )


def transfer(
    run: Run,
    label: Annotated[int, typer.Option(help="Of the shots, one that was held out.")] = 9,
    shots: Annotated[int, typer.Option(help="How many examples, at least 2.")] = 10,
    shots_dir: Annotated[
        Path | None, typer.Option(help="A folder of PNG files to take as shots instead.")
    ] = None,
    covariance: Annotated[
        Literal["diagonal", "spherical", "full"],
        typer.Option(help="Of the Gaussian in latent space; diagonal is the original's."),
    ] = "full",
    intrinsic_dimension: Annotated[
        int | None,
        typer.Option(
            help="With full: directions with a covariance of their own; default: 9, or one less than shots."
        ),
    ] = None,
    temperature: Annotated[float, typer.Option(help="Scale of the Gaussian's spread.")] = 0.7,
    variance_floor: Annotated[
        float, typer.Option(help="Smallest variance of a direction in latent space.")
    ] = 0.01,
    num: Annotated[int, typer.Option(help="Images in samples.png.")] = 40,
    seed: Seed = 0,
    output_dir: Annotated[
        Path | None,
        typer.Option(help="For the results; default: RUN/transfer_LABEL, or RUN/transfer."),
    ] = None,
    export_to: Annotated[
        Path | None,
        typer.Option("--export", help="Export a SavedModel, too: saved_models/NAME."),
    ] = None,
    as_json: Json = False,
):
    """Draw more of something never seen from a few examples.

    Maps the shots to latents, fits a Gaussian there, samples, and maps back. Writes comparison.png (beside
    the same Gaussian fitted to pixels), samples.png and metrics.json.

    Example: tfp-realnvp transfer saved_models/mnist_0_8 --shots-dir my_letters
    """
    commands = load_commands()
    result = commands.transfer_few(
        run,
        label=label,
        shots=shots,
        shots_dir=shots_dir,
        seed=seed,
        covariance=covariance,
        intrinsic_dimension=intrinsic_dimension,
        temperature=temperature,
        variance_floor=variance_floor,
        num=num,
        output_dir=output_dir,
        export_to=export_to,
    )
    lines = [*transfer_lines(result), f"pictures are in {result['output_dir']}"]
    if export_to is not None:
        lines.append(f"the SavedModel is in {result['saved_model']}")
    show(result, as_json, *lines)


def morph(
    run: Run,
    from_label: Annotated[int, typer.Option(help="Of the first image.")] = 2,
    to_label: Annotated[int, typer.Option(help="Of the other image.")] = 8,
    steps: Annotated[int, typer.Option(help="Images on the way, both ends included.")] = 12,
    seed: Annotated[int, typer.Option(help="Another seed, other images.")] = 0,
    output: Annotated[Path | None, typer.Option(help="A GIF; default: RUN/morph.gif.")] = None,
    as_json: Json = False,
):
    """Animate one image into another and back, beside its latent."""
    commands = load_commands()
    result = commands.morph_labels(
        run, from_label=from_label, to_label=to_label, steps=steps, seed=seed, output=output
    )
    show(result, as_json, f"the animation is in {result['output']}, a strip in {result['strip']}")


def export(
    run: Run,
    folder: Annotated[Path, typer.Argument(help="Such as saved_models/NAME.")],
    max_images: Annotated[
        int, typer.Option(help="At most so many are drawn at once; the server refuses more.")
    ] = 1024,
    warm_up: Annotated[
        str | None,
        typer.Option(help="Batch sizes that TF Serving tries at its start: 1,8,32."),
    ] = None,
    as_json: Json = False,
):
    """Export a SavedModel, as the next version in a folder: FOLDER/1, FOLDER/2 ...

    deploy/README.md shows how to serve it.
    """
    sizes = integers(warm_up, "batch sizes")
    result = load_commands().export_run(run, folder, max_images=max_images, warm_up=sizes)
    show(result, as_json, f"the SavedModel is in {result['output']}, {result['bytes']:,} bytes")


def demo(
    run_dir: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("runs/demo"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier demo.")
    ] = False,
    as_json: Json = False,
):
    """The whole story in a minute: learn digits 0 to 8, draw new 9s from ten examples, export."""
    result = load_commands().demo(run_dir, overwrite=overwrite)
    show(
        result,
        as_json,
        "",
        "Learned the digits 0 to 8 (8x8 pixels, 17 grey levels):",
        *summary(result["metrics"]),
        "",
        "Drew new 9s from ten examples:",
        *transfer_lines(result["nines"]),
        "",
        f"new digits    {run_dir / 'samples.png'}",
        f"new nines     {run_dir / 'nines' / 'comparison.png'}",
        f"2 -> 8 -> 2   {result['morph']['output']}",
        f"SavedModel    {result['saved_model']}",
        f"everything took {result['seconds']:.0f} seconds",
    )
