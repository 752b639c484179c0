"""The command `train`."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Annotated

import typer

from tfp_realnvp import hardware
from tfp_realnvp.cli.options import Json, ManualDir, Seed, flow_help, seconds
from tfp_realnvp.cli.output import quiet_start, show, summary
from tfp_realnvp.hardware import Device
from tfp_realnvp.training.config import Dequantization, FlowName, Precision, TrainingConfig

__all__ = ["train"]

STARTED = time.monotonic()  # --time-limit counts from here
DEFAULTS = TrainingConfig()


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
    flow: Annotated[
        FlowName,
        typer.Option(help="multiscale: convolutional; realnvp: dense, the original's."),
    ] = DEFAULTS.flow,
    scales: Annotated[int | None, typer.Option(help=flow_help("scales", "Scales"))] = None,
    couplings: Annotated[
        int | None,
        typer.Option(help=flow_help("couplings", "Couplings of the flow, or of a scale")),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help=flow_help("channels", "Features of a conditioner"))
    ] = None,
    blocks: Annotated[
        int | None, typer.Option(help=flow_help("blocks", "Residual blocks of a conditioner"))
    ] = None,
    gated: Annotated[
        bool | None,
        typer.Option(
            "--gated/--not-gated", help=flow_help("gated", "Gates in the residual blocks")
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            help=flow_help("depth", "Dense layers of a conditioner, the last one included")
        ),
    ] = None,
    width: Annotated[
        int | None, typer.Option(help=flow_help("width", "Units of its hidden layers"))
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(help=flow_help("activation", "In the conditioners: relu, gelu, tanh ...")),
    ] = None,
    conditional: Annotated[
        bool, typer.Option("--conditional", help="Learn one distribution for each label.")
    ] = False,
    dequantization: Annotated[
        Dequantization, typer.Option(help="Noise within a grey level: even, or learned.")
    ] = DEFAULTS.dequantization,
    precision: Annotated[
        Precision,
        typer.Option(help="Of the matrix products in training; auto: the fastest here."),
    ] = DEFAULTS.precision,
    device: Annotated[
        Device, typer.Option(help="auto: a GPU if there is one, else the CPU.")
    ] = "auto",
    epochs: Annotated[int, typer.Option(help="At most so many.")] = DEFAULTS.epochs,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help=flow_help("batch_size", "Images in a step") + "; less for small data sets"
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help=flow_help("learning_rate", "Its peak"))
    ] = None,
    warm_up: Annotated[
        int, typer.Option(help="Steps in which the learning rate rises to its peak.")
    ] = DEFAULTS.warm_up,
    final_rate: Annotated[
        float, typer.Option(help="The learning rate at the end, as a share of its peak.")
    ] = DEFAULTS.final_rate,
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
        flow=flow,
        scales=scales,
        couplings=couplings,
        channels=channels,
        blocks=blocks,
        gated=gated,
        depth=depth,
        width=width,
        activation=activation,
        conditional=conditional,
        dequantization=dequantization,
        precision=precision,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warm_up=warm_up,
        final_rate=final_rate,
        gradient_clip=gradient_clip,
        patience=patience,
        validation=validation,
        time_limit=seconds(time_limit),
        seed=seed,
    )
    with quiet_start():
        if not resume:
            from tfp_realnvp import datasets  # noqa: PLC0415

            datasets.check(config.dataset, manual_dir=config.manual_dir)
        from tfp_realnvp import training  # noqa: PLC0415

        hardware.use(device)
    if resume:
        _check_resume(context, config, run_dir)
        limit = None if _is_default(context, "time_limit") else config.time_limit or math.inf
        metrics = training.resume(run_dir, time_limit=limit, tensorboard=tensorboard)
    else:
        metrics = training.train(
            config, run_dir, overwrite=overwrite, tensorboard=tensorboard, started=STARTED
        )
    show(metrics, as_json, *summary(metrics), f"everything is in {run_dir}")


def _check_resume(context: typer.Context, config: TrainingConfig, run_dir: Path) -> None:
    """Options given beside --resume must be those that the run was started with."""
    from tfp_realnvp.training.run_folder import RunFolder  # noqa: PLC0415

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
