"""The command `tune`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tfp_realnvp import hardware
from tfp_realnvp.cli.config_options import config_options, make_config
from tfp_realnvp.cli.options import Json, seconds
from tfp_realnvp.cli.output import quiet_start, show

__all__ = ["tune"]


def tune(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Of the search: a new one, or one that goes on.")],
    *,
    time_limit: Annotated[
        str,
        typer.Option(
            help="For this command: 90s, 10m, 1h30m, none. A trial begins only if there is time for it."
        ),
    ] = "1h",
    trial_time: Annotated[str, typer.Option(help="For each trial.")] = "5m",
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, help="So many in the folder in the end; default: as many as there is time for."
        ),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "gpu"],
        typer.Option(help="auto: a GPU if there is one, else the CPU."),
    ] = "auto",
    as_json: Json = False,
    **options: Any,
):
    """Search for the options with which a flow learns best, by validation images.

    Those that you give are fixed. Searched are the others that decide how large the flow is and how it learns.
    The first trial has the defaults. The folder gets best.json (for train --config), trials.csv, history.png,
    importances.png, the study (study.db) and the runs (trials/NNNN). The same command goes on after Ctrl-C, a
    kill or its end; several at the same time share the search.

    Example: tfp-realnvp tune searches/mnist --dataset mnist --flow realnvp --trial-time 2m
    """
    if seconds(trial_time) == 0:
        raise ValueError("`trial_time` must be above 0, received 0.")
    config = make_config({**options, "time_limit": trial_time})
    with quiet_start():
        from tfp_realnvp import datasets  # noqa: PLC0415

        datasets.check(config.dataset, manual_dir=config.manual_dir)
        from tfp_realnvp import tuning  # noqa: PLC0415
        from tfp_realnvp.training.signals import EndAtSignal, EndedBySignal  # noqa: PLC0415

        hardware.use(device)
    try:
        with EndAtSignal() as end:
            result = tuning.tune(
                config,
                folder,
                time_limit=seconds(time_limit),
                trials=trials,
                callbacks=[end],
                started=context.obj,
            )
    except EndedBySignal as signal:
        raise typer.Exit(128 + signal.number) from None
    show(result, as_json, *_lines(result), f"everything is in {folder}")


def _lines(result: dict[str, Any]) -> list[str]:
    """For people."""
    counts = ", ".join(f"{count} {name}" for name, count in result["trials"].items())
    best = result["best"]
    if best is None:
        return [f"no trial is complete yet ({counts})"]
    options = ", ".join(f"{name} {value}" for name, value in best["options"].items())
    default = result["default_bits_per_dim"]
    than = "" if default is None else f" (with the defaults: {default:.4f})"
    return [
        f"best of the trials ({counts}): {best['trial']}, with {best['bits_per_dim']:.4f} bits per dimension "
        f"of validation images{than}",
        f"its options: {options}",
        f"train with them: tfp-realnvp train --config {result['config']} --time-limit 10m",
    ]


def _signature() -> inspect.Signature:
    """What typer reads: the options of a configuration but for its time limit, and those of the command."""
    context, folder, *own, _ = inspect.signature(tune, eval_str=True).parameters.values()
    shared = [option for option in config_options() if option.name != "time_limit"]
    return inspect.Signature([context, folder, *shared, *own])


tune.__signature__ = _signature()  # type: ignore[attr-defined]
