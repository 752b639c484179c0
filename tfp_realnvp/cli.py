"""The command line: `tfp-realnvp`, `python -m tfp_realnvp` and `train.py`."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tfp_realnvp.config import Precision, TrainingConfig

# The modules that import TensorFlow are imported where a command needs them: it takes seconds, and
# --help and argument errors should not wait for it.

STARTED = time.monotonic()  # --time-limit counts from here
DEFAULTS = TrainingConfig()

app = typer.Typer(
    name="tfp-realnvp",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn the distribution of a set of images; draw from it, score with it, export it.",
    epilog="With --debug, any command shows where an error comes from.",
)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, made by `train`.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
ManualDir = Annotated[
    Path | None,
    typer.Option(
        help="Files of a TensorFlow Datasets set, fetched beforehand; no network is used."
    ),
]


@app.command()
def train(
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Option(
            help="digits (8x8, embedded), idx:FOLDER, npz:FILE, or an image set of TensorFlow Datasets: "
            "mnist, fashion_mnist, kmnist, cifar10 ..."
        ),
    ] = DEFAULTS.dataset,
    manual_dir: ManualDir = None,
    hold_out: Annotated[
        list[int], typer.Option(help="A label that is not learned; may be given several times.")
    ] = [],  # noqa: B006  (typer copies it)
    couplings: Annotated[int, typer.Option(help="Couplings of the flow.")] = DEFAULTS.couplings,
    depth: Annotated[
        int, typer.Option(help="Dense layers in a conditioner, the output layer included.")
    ] = DEFAULTS.depth,
    width: Annotated[int, typer.Option(help="Units of a hidden layer.")] = DEFAULTS.width,
    activation: Annotated[
        str, typer.Option(help="Of the hidden layers: relu, gelu, tanh ...")
    ] = DEFAULTS.activation,
    alpha: Annotated[
        float | None, typer.Option(help="Of the logit; default: a quarter of a grey level.")
    ] = None,
    precision: Annotated[
        Precision,
        typer.Option(help="Of the matrix products in training; auto: the fastest here."),
    ] = DEFAULTS.precision,
    epochs: Annotated[int, typer.Option(help="At most so many.")] = DEFAULTS.epochs,
    batch_size: Annotated[
        int | None, typer.Option(help="Images in a step; default: 512, less for small data sets.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Its peak.")] = DEFAULTS.learning_rate,
    gradient_clip: Annotated[
        float, typer.Option(help="Largest global norm of a gradient; 0: do not clip.")
    ] = DEFAULTS.gradient_clip,
    patience: Annotated[
        int, typer.Option(help="Stop after so many epochs with hardly a better validation result.")
    ] = DEFAULTS.patience,
    validation: Annotated[
        float, typer.Option(help="Fraction of the training images that is put aside.")
    ] = DEFAULTS.validation,
    time_limit: Annotated[
        str,
        typer.Option(
            help="For the whole command: 90s, 10m, 1h30m, none. It stops in time, with the best model."
        ),
    ] = "10m",
    seed: Seed = 0,
    run_dir: Annotated[
        Path | None, typer.Option(help="Where everything is written; default: runs/DATASET.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted run in --run-dir.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run in --run-dir.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write logs for TensorBoard, too.")
    ] = False,
    as_json: Json = False,
):
    """Learn a distribution of images.

    Writes a run folder: config.json, history.csv, model.keras (the best by validation bits per dimension),
    metrics.json, learning_curve.png and samples.png. Ctrl-C keeps what was learned; --resume goes on.

    Example: tfp-realnvp train --dataset mnist --hold-out 9 --run-dir runs/mnist
    """
    run_dir = run_dir or Path("runs") / re.sub(r"[^\w.-]+", "_", dataset)
    config = TrainingConfig(
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        hold_out=tuple(hold_out),
        couplings=couplings,
        depth=depth,
        width=width,
        activation=activation,
        alpha=alpha,
        precision=precision,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        gradient_clip=gradient_clip,
        patience=patience,
        validation=validation,
        time_limit=_seconds(time_limit),
        seed=seed,
    )
    with _quiet_start():
        if not resume:
            from tfp_realnvp import datasets  # noqa: PLC0415

            datasets.check(config.dataset, manual_dir=config.manual_dir)
        from tfp_realnvp import training  # noqa: PLC0415
    if resume:
        _check_resume(context, config, run_dir)
        limit = None if _is_default(context, "time_limit") else config.time_limit or math.inf
        metrics = training.resume(run_dir, time_limit=limit, tensorboard=tensorboard)
    else:
        metrics = training.train(
            config, run_dir, overwrite=overwrite, tensorboard=tensorboard, started=STARTED
        )
    _show(metrics, as_json, *_summary(metrics), f"everything is in {run_dir}")


@app.command()
def sample(
    run: Run,
    num: Annotated[int, typer.Option(help="How many.")] = 40,
    temperature: Annotated[
        float, typer.Option(help="Below 1: more typical images, less varied.")
    ] = 1.0,
    seed: Seed = 0,
    output: Annotated[Path | None, typer.Option(help="A PNG; default: RUN/drawn.png.")] = None,
    as_json: Json = False,
):
    """Draw new images, as a grid in a PNG."""
    commands = _commands()
    result = commands.sample(run, num=num, temperature=temperature, seed=seed, output=output)
    _show(result, as_json, f"{num} images are in {result['output']}")


@app.command()
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
    chosen = _labels(labels)
    commands = _commands()
    result = commands.score(
        run,
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        split=split,
        labels=chosen,
    )
    _show(
        result,
        as_json,
        f"{result['bits_per_dim']:.4f} bits per dimension (standard error "
        f"{result['standard_error']:.4f}), {result['log_prob']:.1f} nats per image, "
        f"{result['images']:,} images",
    )


@app.command()
def transfer(
    run: Run,
    label: Annotated[int, typer.Option(help="Of the shots, one that was held out.")] = 9,
    shots: Annotated[int, typer.Option(help="How many examples, at least 2.")] = 10,
    covariance: Annotated[
        Literal["diagonal", "spherical", "full"],
        typer.Option(help="Of the Gaussian in latent space; diagonal is the original's."),
    ] = "diagonal",
    intrinsic_dimension: Annotated[
        int | None, typer.Option(help="With full: directions with a covariance of their own.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Scale of the Gaussian's spread.")] = 1.0,
    variance_floor: Annotated[
        float, typer.Option(help="Smallest variance of a direction in latent space.")
    ] = 0.01,
    num: Annotated[int, typer.Option(help="Images in samples.png.")] = 40,
    seed: Seed = 0,
    output_dir: Annotated[
        Path | None, typer.Option(help="For the results; default: RUN/transfer_LABEL.")
    ] = None,
    as_json: Json = False,
):
    """Draw more of something never seen from a few examples.

    Maps the shots to latents, fits a Gaussian there, samples, and maps back. Writes comparison.png (beside
    the same Gaussian fitted to pixels), samples.png and metrics.json.
    """
    commands = _commands()
    result = commands.transfer_label(
        run,
        label=label,
        shots=shots,
        seed=seed,
        covariance=covariance,
        intrinsic_dimension=intrinsic_dimension,
        temperature=temperature,
        variance_floor=variance_floor,
        num=num,
        output_dir=output_dir,
    )
    _show(result, as_json, *_transfer_lines(result), f"pictures are in {result['output_dir']}")


@app.command()
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
    commands = _commands()
    result = commands.morph_labels(
        run, from_label=from_label, to_label=to_label, steps=steps, seed=seed, output=output
    )
    _show(result, as_json, f"the animation is in {result['output']}, a strip in {result['strip']}")


@app.command()
def export(
    run: Run,
    folder: Annotated[Path, typer.Argument(help="Such as saved_models/NAME.")],
    as_json: Json = False,
):
    """Export a SavedModel, as the next version in a folder: FOLDER/1, FOLDER/2 ..."""
    result = _commands().export_run(run, folder)
    _show(result, as_json, f"the SavedModel is in {result['output']}")


@app.command()
def demo(
    run_dir: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("runs/demo"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier demo.")
    ] = False,
    as_json: Json = False,
):
    """The whole story in a minute: learn digits 0 to 8, draw new 9s from ten examples, export."""
    result = _commands().demo(run_dir, overwrite=overwrite)
    _show(
        result,
        as_json,
        "",
        "Learned the digits 0 to 8 (8x8 pixels, 17 grey levels):",
        *_summary(result["metrics"]),
        "",
        "Drew new 9s from ten examples:",
        *_transfer_lines(result["nines"]),
        "",
        f"new digits    {run_dir / 'samples.png'}",
        f"new nines     {run_dir / 'nines' / 'comparison.png'}",
        f"2 -> 8 -> 2   {result['morph']['output']}",
        f"SavedModel    {result['saved_model']}",
        f"everything took {result['seconds']:.0f} seconds",
    )


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an error is one line and exit status 2, an interruption exit status 130."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        status = app(arguments, standalone_mode=False) or 0
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        if debug:
            raise
        if message := _message(error):
            print("Error:", message, file=sys.stderr)
        status = 2
    sys.exit(status)


def _message(error: Exception) -> str:
    """One line; nothing for a request for help, which has been printed."""
    text = str(error) or type(error).__name__
    if hasattr(error, "format_message"):  # an error of the command line itself
        text = error.format_message()
    return " ".join(text.split())


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Import TensorFlow without the messages of its start, which no setting turns off."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") != "3":  # somebody wants to see them
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    standard_error = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)


def _commands():
    with _quiet_start():
        from tfp_realnvp import commands  # noqa: PLC0415
    return commands


def _check_resume(context: typer.Context, config: TrainingConfig, run_dir: Path) -> None:
    """Options given beside --resume must be those that the run was started with."""
    from tfp_realnvp.runs import RunFolder  # noqa: PLC0415

    kept = TrainingConfig.from_json(RunFolder(run_dir).read_config())
    for name in vars(config):
        if name == "time_limit" or _is_default(context, name):
            continue
        now, then = getattr(config, name), getattr(kept, name)
        if now != then and (name, now) != ("precision", "auto"):
            option = "--" + name.replace("_", "-")
            raise ValueError(
                f"the run in {run_dir} was started with {option} {then}, not {now}: leave {option} out, "
                "or start a new run."
            )


def _is_default(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is None or source.name == "DEFAULT"


def _show(result: dict[str, Any], as_json: bool, *lines: str) -> None:
    """The result as JSON, or the lines for people."""
    print(json.dumps(result, indent=2, allow_nan=False) if as_json else "\n".join(lines))


def _summary(metrics: dict[str, Any]) -> list[str]:
    parts = [
        f"{name.replace('_', ' ')} {metrics[name]['bits_per_dim']:.4f}"
        for name in ("train", "validation", "test", "held_out")
        if metrics[name]
    ]
    return [
        "bits per dimension: " + ", ".join(parts),
        f"best of {metrics['epochs']} epochs: {metrics['best_epoch']}; {metrics['parameters']:,} "
        f"parameters, {metrics['images_per_second']:,.0f} images/s, {metrics['seconds']:.0f} s, "
        f"ended by {metrics['ended_by']}",
    ]


def _transfer_lines(result: dict[str, Any]) -> list[str]:
    bits = result["bits_per_dim"]
    titles = {
        "flow": "the flow with its own prior",
        "latent_diagonal": "a Gaussian on latents, diagonal",
        "latent_low_rank": "a Gaussian on latents, low rank",
        "pixels_diagonal": "a Gaussian on pixels, diagonal (the baseline)",
        "pixels_low_rank": "a Gaussian on pixels, low rank",
    }
    return [
        f"bits per dimension of {result['unseen_images']:,} unseen images of label {result['label']} under",
        *(f"  {title:<46} {bits[name]:>10.3f}" for name, title in titles.items()),
    ]


def _seconds(text: str) -> float | None:
    """A duration such as 90s, 10m, 1h30m or 600 (seconds); None for "none"."""
    if text.strip() == "none":
        return None
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    if not match or not any(match.groups()):
        raise ValueError(f"expected a duration such as 90s, 10m, 1h30m or none, received {text!r}.")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(3600 * hours + 60 * minutes + seconds)


def _labels(text: str | None) -> list[int]:
    """Labels such as 9, 0-8 or 0,2,4-6."""
    labels: list[int] = []
    for part in text.split(",") if text else []:
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match:
            raise ValueError(f"expected labels such as 9, 0-8 or 0,2,4-6, received {text!r}.")
        labels.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return labels
