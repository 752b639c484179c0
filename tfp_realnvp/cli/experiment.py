"""The commands `experiment ...`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from tfp_realnvp.cli.options import Json, duration, integers, seconds
from tfp_realnvp.cli.output import load, show
from tfp_realnvp.experiments.config import MODELS, FewShotConfig

__all__ = ["experiment"]

experiment = typer.Typer(
    name="experiment", no_args_is_help=True, help="Whole experiments, from a data set to a report."
)

FIELDS = {field.name: field for field in dataclasses.fields(FewShotConfig)}
COLUMNS = ("recognized", "density", "coverage", "frechet", "recall", "bits_per_dim")


def _help(name: str) -> str:
    return FIELDS[name].metadata["help"]


def _option(name: str) -> Any:
    return typer.Option(help=f"{_help(name)}.")


@experiment.command("few-shot")
def few_shot(
    output_dir: Annotated[
        Path, typer.Option(help="Where everything is written; the same command goes on there.")
    ] = Path("experiments/few_shot"),
    run: Annotated[
        Path | None,
        typer.Option(help="A finished run in place of the four models."),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            help="Another finished run, which is adapted and scored, too; may be given several times."
        ),
    ] = None,
    dataset: Annotated[str, _option("dataset")] = FewShotConfig.dataset,
    manual_dir: Annotated[Path | None, _option("manual_dir")] = None,
    hold_out: Annotated[
        str,
        typer.Option(
            help=f"{_help('hold_out')}; several, as 0-3 or 4,9, or all: one after another."
        ),
    ] = str(FewShotConfig.hold_out),
    shots: Annotated[
        str, typer.Option(help=f"{_help('shots')}; several, as 1,3,10,30,100: one after another.")
    ] = str(FewShotConfig.shots),
    draws: Annotated[int, _option("draws")] = FewShotConfig.draws,
    pictures: Annotated[int, _option("pictures")] = FewShotConfig.pictures,
    only: Annotated[str | None, typer.Option(help=f"{_help('only')}: {', '.join(MODELS)}.")] = None,
    time_limit: Annotated[str, _option("time_limit")] = duration(FewShotConfig.time_limit),
    seed: Annotated[int, _option("seed")] = FewShotConfig.seed,
    as_json: Json = False,
):
    """Draw a label that four models never saw from a few shots of it, on several routes, and score them.

    Trains four models, chooses the best by validation, draws pictures on each route from the same shots, scores
    them against real images in many draws of shots, and writes report.html and results.json. What is finished
    is not done again: after Ctrl-C, the same command goes on. With several labels, or numbers of shots,
    it does all that for each of them, in a folder of its own, and a report puts them side by side.

    Example: tfp-realnvp experiment few-shot --dataset mnist --hold-out 9 --output-dir experiments/nines
    """
    limit = seconds(time_limit)
    if limit is None:
        raise ValueError("`time_limit` must be a duration such as 10m, received none.")
    labels = None if hold_out == "all" else integers(hold_out)
    numbers = integers(shots)
    config = FewShotConfig(
        dataset=dataset,
        manual_dir=None if manual_dir is None else str(manual_dir),
        hold_out=FewShotConfig.hold_out if labels is None else labels[0],
        shots=numbers[0],
        draws=draws,
        pictures=pictures,
        time_limit=limit,
        only=only,
        seed=seed,
    )
    given = {"hold_out": labels, "shots": numbers}
    several = [name for name, values in given.items() if values is None or len(values) > 1]
    if len(several) > 1:
        raise ValueError(
            f"`hold_out` and `shots` must not both have several values, received {hold_out} and {shots}."
        )
    by = several[0] if several else None
    result = load("commands").few_shot(
        config,
        output_dir,
        run_dir=run,
        also=also or [],
        by=by,
        values=given[by] if by else None,
    )
    parts = (
        {f"{by} {value}": part for value, part in result["experiments"].items()}
        if by
        else {"": result}
    )
    lines = [line for title, part in parts.items() for line in _lines(title, part)]
    show(result, as_json, *lines, f"the report is in {output_dir / 'report.html'}")


def _lines(title: str, result: dict[str, Any]) -> list[str]:
    """The scores of each route, for people."""
    width = max(map(len, result["routes"]))
    lines = [f"{title:<{width}}" + "".join(f"{name:>14}" for name in COLUMNS)]
    for name, scores in result["routes"].items():
        means = (f"{scores[score]['mean']:.3f}" if score in scores else "" for score in COLUMNS)
        lines.append(f"{name:<{width}}" + "".join(f"{mean:>14}" for mean in means))
    return lines
