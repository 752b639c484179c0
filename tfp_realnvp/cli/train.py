"""The command `train`."""

from __future__ import annotations

import inspect
import math
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tfp_realnvp import hardware
from tfp_realnvp.cli.config_options import (
    config_options,
    for_goal,
    is_given,
    make_config,
    with_file,
)
from tfp_realnvp.cli.options import Devices, Json, seconds
from tfp_realnvp.cli.output import quiet_start, show, summary
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.goals import Goal

__all__ = ["train"]

LOST = 75  # exit status if another worker is gone: a temporary failure, in the words of sysexits.h


def train(
    context: typer.Context,
    *,
    device: Devices = "auto",
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="The same weights each time on a GPU, too, more slowly; on a CPU they always are the same.",
        ),
    ] = False,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="JSON with options, as `tune` writes it, or a run's config.json; those given here win.",
        ),
    ] = None,
    goal: Annotated[
        Goal | None,
        typer.Option(
            help="quality: the best scores of ten minutes and more (the default); speed: those of a few "
            "minutes; memory: few weights; sampling-speed: many images a second. Other options win."
        ),
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Where everything is written; default: runs/DATASET.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted run in --run-dir.")
    ] = False,
    wait: Annotated[
        str | None,
        typer.Option(
            "--worker-timeout",
            help="How long to wait at the start for the other workers, if TF_CONFIG names some; default: 5m.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run in --run-dir.")
    ] = False,
    checkpoint_every: Annotated[
        str | None,
        typer.Option(
            help="Write what --resume needs so often: 60s (the default), 5m ... A run that is killed loses "
            "what it did since."
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write logs for TensorBoard, too.")
    ] = False,
    as_json: Json = False,
    **options: Any,
):
    """Learn a distribution of images.

    Writes a run folder: config.json, history.csv, model.keras (the best by validation bits per dimension),
    metrics.json, learning_curve.png and samples.png. Ctrl-C, SIGTERM and SIGHUP keep what was learned, and end
    it with the status 130, 143 or 129; --resume goes on.

    If the environment variable TF_CONFIG names several workers, it must run on each of them, with the same
    options and a --run-dir that all share. If one is lost, the others end with the status 75.

    Example: tfp-realnvp train --dataset mnist --hold-out 9 --run-dir runs/mnist
    """
    config = _config(context, config_file, goal, options, resume=resume)
    run_dir = run_dir or Path("runs") / re.sub(r"[^\w.-]+", "_", config.dataset)
    started = context.obj
    every = _seconds(checkpoint_every)
    with quiet_start():
        if not resume:
            from tfp_realnvp import datasets  # noqa: PLC0415

            datasets.check(config.dataset, manual_dir=config.manual_dir)
        from tfp_realnvp import training  # noqa: PLC0415
        from tfp_realnvp.training.signals import EndAtSignal, EndedBySignal  # noqa: PLC0415

        hardware.use(device, deterministic=deterministic)
    hardware.connect(wait=_seconds(wait))
    if resume:
        _check_resume(context, config, run_dir)
    try:
        with EndAtSignal() as end:
            if resume:
                limit = config.time_limit or math.inf if is_given(context, "time_limit") else None
                metrics = training.resume(
                    run_dir,
                    time_limit=limit,
                    tensorboard=tensorboard,
                    callbacks=[end],
                    started=started,
                    checkpoint_every=every,
                )
            else:
                metrics = training.train(
                    config,
                    run_dir,
                    overwrite=overwrite,
                    tensorboard=tensorboard,
                    callbacks=[end],
                    started=started,
                    checkpoint_every=every,
                )
    except EndedBySignal as signal:
        raise typer.Exit(128 + signal.number) from None
    except hardware.WorkerLostError as error:
        print("Error:", str(error).replace("`resume`", "--resume"), file=sys.stderr)
        raise typer.Exit(LOST) from None
    if not hardware.workers.is_chief():
        return
    show(metrics, as_json, *summary(metrics), f"everything is in {run_dir}")


def _seconds(text: str | None) -> float | None:
    """None if nothing was asked for."""
    if text is None:
        return None
    number = seconds(text)
    return math.inf if number is None else number


def _config(
    context: typer.Context,
    config_file: Path | None,
    goal: Goal | None,
    options: dict[str, Any],
    *,
    resume: bool,
) -> TrainingConfig:
    """What the options, a file or a goal ask for."""
    for name, value in (("config_file", config_file), ("goal", goal)):
        if value is not None and resume:
            raise ValueError(
                f"`{name}` is for a new run: leave it out with `resume`, which goes on with what the run was "
                "started with."
            )
    if config_file is not None and goal is not None:
        raise ValueError("`goal` and `config_file` both set options: leave one of them out.")
    if config_file is not None:
        return with_file(config_file, options, context)
    if goal is not None:
        return for_goal(goal, options, context)
    return make_config(options)


def _signature() -> inspect.Signature:
    """What typer reads: the options of a configuration, and those of the command itself."""
    context, *own, _ = inspect.signature(train, eval_str=True).parameters.values()
    return inspect.Signature([context, *config_options(), *own])


train.__signature__ = _signature()  # type: ignore[attr-defined]


def _check_resume(context: typer.Context, config: TrainingConfig, run_dir: Path) -> None:
    """Options given beside --resume must be those that the run was started with."""
    from tfp_realnvp.training.run_folder import RunFolder  # noqa: PLC0415

    kept = TrainingConfig.from_json(RunFolder(run_dir).read_config()).with_absolute_paths()
    config = config.with_absolute_paths()
    for name in vars(config):
        if name == "time_limit" or not is_given(context, name):
            continue
        now, then = getattr(config, name), getattr(kept, name)
        if now != then and (name, now) != ("precision", "auto"):
            raise ValueError(
                f"the run in {run_dir} was started with `{name}` {then}, not {now}: leave `{name}` out, "
                "or start a new run."
            )
