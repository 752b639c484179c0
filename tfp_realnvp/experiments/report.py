"""The report of the few-shot experiment: one HTML file that needs nothing else."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable
from typing import Any

from tfp_realnvp.experiments import page
from tfp_realnvp.experiments.config import MODELS
from tfp_realnvp.experiments.folder import ExperimentFolder
from tfp_realnvp.experiments.scoring import COMPARED, ROUTE_OF_ALSO
from tfp_realnvp.fewshot.route import CONTROLS, ROUTES

__all__ = ["SCORES", "in_words", "write_report"]

SCORES = {  # what the report shows, with the number of decimals and what each means
    "recognized": (
        3,
        "share of the pictures in which a classifier, trained on real images, sees the label",
    ),
    "density": (
        3,
        "how close pictures lie to real images; near 1 for real ones (Naeem et al. 2020, k = 5)",
    ),
    "coverage": (3, "share of the real images that have a picture near them"),
    "frechet": (
        1,
        "Frechet distance of pictures and real images in the classifier's features; 0 is best",
    ),
    "nearest": (2, "median distance to the nearest shot; 1 for real images, 0 for copies"),
    "copying": (1, "the C_T test (Meehan et al. 2020): far below 0 for copies of the shots"),
    "recall": (3, "of real images, by a classifier that learned the label from the pictures alone"),
    "bits_per_dim": (
        3,
        "of unseen images under the route's distribution, whose variance floor was chosen by leaving out one "
        "shot at a time",
    ),
}


def write_report(result: dict[str, Any], place: ExperimentFolder) -> None:
    """Write report.html from what `few_shot` found and the pictures in the folder.

    Args:
      result: the content of results.json.
      place: the folder of the experiment.
    """
    config = result["config"]
    title = f"New pictures of label {config['hold_out']} from {config['shots']} shots"
    parts = [
        page.paragraph(
            f"Models learned the images of {config['dataset']} without label {config['hold_out']}. From "
            f"{config['shots']} images of it, {result['pictures']:,} new ones were drawn on each route, in "
            f"{config['draws']} draws of other shots."
        ),
        *_models(result, place),
        *_routes(result, place),
        *_scores(result),
        "<h2>A morph</h2>",
        page.picture(
            place.picture("morph"),
            "From an image to another and back: images above, latents below.",
        ),
        *_how_it_was_made(result),
    ]
    page.write(place.report, title, parts)


def _models(result, place: ExperimentFolder) -> list[str]:
    return [
        "<h2>The models</h2>",
        _models_table(result),
        page.picture(
            place.picture("learning_curves"),
            "Validation bits per dimension while the models trained.",
            crisp=False,
        ),
        page.picture(
            place.picture("models"),
            f"Ten pictures each of {', '.join(result['models'])} at temperature 1, a row each.",
        ),
        *(
            page.picture(place.picture(f"model_{name}"), f"The same of {name}.")
            for name in result["also"]
        ),
    ]


def _routes(result, place: ExperimentFolder) -> list[str]:
    shots = result["config"]["shots"]
    return [
        f"<h2>The routes to label {result['config']['hold_out']}</h2>",
        page.paragraph(
            f"Through {result['chosen']}, the best model by validation. Pictures of the first draw."
        ),
        *(
            page.picture(place.picture(f"route_{name}"), f"{name}: {_describe(name, shots)}.")
            for name in result["routes"]
        ),
    ]


def _scores(result) -> list[str]:
    meanings = (
        f"<dt>{name}</dt><dd>{html.escape(about)}.</dd>" for name, (_, about) in SCORES.items()
    )
    return [
        "<h2>Scores</h2>",
        page.paragraph(_verdict(result)),
        _scores_table(result["routes"], SCORES),
        page.paragraph(
            "The same shots, draw by draw: how the scores differ from those of small affine maps of the shots."
        ),
        _scores_table(result["beside_affine_maps"], COMPARED, signed=True),
        "<dl>" + "".join(meanings) + "</dl>",
    ]


def _how_it_was_made(result) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return [
        "<h2>How it was made</h2>",
        page.paragraph(result["command"], tag="code"),
        page.paragraph(f"On {result['device']}, with {versions}."),
    ]


def in_words(scores: dict[str, Any], score: str, *, signed: bool = False) -> str:
    """A score of a route, with its standard error; nothing if the route does not have it."""
    found = scores.get(score)
    if not found:
        return ""
    decimals, _ = SCORES[score]
    error = found["standard_error"]
    sign = "+" if signed else ""
    mean = f"{found['mean']:{sign}.{decimals}f}"
    return mean + ("" if error is None else f" ± {error:.{decimals}f}")


def _verdict(result: dict[str, Any]) -> str:
    routes = result["routes"]
    frechet = {name: in_words(scores, "frechet") for name, scores in routes.items()}
    best = min(set(routes) - set(CONTROLS), key=lambda name: routes[name]["frechet"]["mean"])
    beside = result["beside_affine_maps"][best]
    return (
        f"By the Frechet distance, the pictures of {best} are nearest to real ones: {frechet[best]}. Affine "
        f"maps of the shots, without a flow, have {frechet['affine_maps']}; as many real images, "
        f"{frechet['real']}. Compared draw by draw with affine maps of the same shots, {best} has a distance "
        f"of {in_words(beside, 'frechet', signed=True)}, a coverage of "
        f"{in_words(beside, 'coverage', signed=True)} and a recall of "
        f"{in_words(beside, 'recall', signed=True)}. Means over all draws, with standard errors."
    )


def _models_table(result) -> str:
    columns = [
        "model",
        "options",
        "parameters",
        "epochs",
        "seconds",
        "validation",
        "test",
        "held out",
    ]
    rows = []
    for name, metrics in {**result["models"], **result["also"]}.items():
        options = " ".join(f"{key}={value}" for key, value in MODELS.get(name, {}).items())
        scores = (metrics[part] for part in ("validation", "test", "held_out"))
        rows.append(
            [
                name,
                options,
                f"{metrics['parameters']:,}",
                metrics["epochs"],
                f"{metrics['seconds']:.0f}",
                *(f"{score['bits_per_dim']:.3f}" if score else "" for score in scores),
            ]
        )
    names = list(result["models"])
    return page.table(columns, rows, names.index(result["chosen"]))


def _scores_table(routes: dict[str, Any], columns: Iterable[str], *, signed: bool = False) -> str:
    rows = [
        [name, *(in_words(scores, score, signed=signed) for score in columns)]
        for name, scores in routes.items()
    ]
    return page.table(["route", *columns], rows)


def _describe(name: str, shots: int) -> str:
    if name in CONTROLS:
        return CONTROLS[name]
    if name not in ROUTES:
        model = name.removeprefix(f"{ROUTE_OF_ALSO}_")
        return f"{_describe(ROUTE_OF_ALSO, shots)}, through {model}"
    return ROUTES[name].for_shots(shots, dimensions=sys.maxsize).title
