"""The report of the few-shot experiment: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
import sys
from collections.abc import Iterable
from typing import Any

from tfp_realnvp.experiments.config import MODELS
from tfp_realnvp.experiments.folder import ExperimentFolder
from tfp_realnvp.fewshot.route import CONTROLS, ROUTES
from tfp_realnvp.files import replacing

__all__ = ["write_report"]

SCORES = {  # what the report shows, with the number of decimals and what each means
    "recognized": (
        2,
        "share of the pictures in which a classifier, trained on real images, sees the label",
    ),
    "density": (
        2,
        "how close pictures lie to real images; near 1 for real ones (Naeem et al. 2020, k = 5)",
    ),
    "coverage": (2, "share of the real images that have a picture near them"),
    "frechet": (
        1,
        "Frechet distance of pictures and real images in the classifier's features; 0 is best",
    ),
    "nearest": (2, "median distance to the nearest shot; 1 for real images, 0 for copies"),
    "copying": (1, "the C_T test (Meehan et al. 2020): far below 0 for copies of the shots"),
    "recall": (2, "of real images, by a classifier that learned the label from the pictures alone"),
    "bits_per_dim": (
        3,
        "of unseen images under the route's distribution, whose variance floor was chosen by leaving out one "
        "shot at a time",
    ),
}

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 58rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
figure { margin: 1rem 0; break-inside: avoid } figcaption { color: #555; font-size: .9rem }
img { max-width: 100%; display: block } img.pixels { width: 100%; image-rendering: pixelated }
div.table { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem; white-space: nowrap }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left } tr.chosen td { font-weight: 600 } small { color: #555 }
@media print { body { max-width: none; margin: 0 } h2 { break-after: avoid } }
"""


def write_report(result: dict[str, Any], place: ExperimentFolder) -> None:
    """Write report.html from what `few_shot` found and the pictures in the folder.

    Args:
      result: the content of results.json.
      place: the folder of the experiment.
    """
    config = result["config"]
    label, shots, draws = config["hold_out"], config["shots"], config["draws"]
    title = f"New pictures of label {label} from {shots} shots"
    parts = [
        f"<h1>{title}</h1>",
        _paragraph(
            f"Models learned the images of {config['dataset']} without label {label}. From {shots} images of "
            f"it, {result['pictures']:,} new ones were drawn on each route, in {draws} draws of other shots."
        ),
        "<h2>The models</h2>",
        _models_table(result),
        _picture(
            place, "learning_curves", "Validation bits per dimension while the models trained.", ""
        ),
        *(
            _picture(place, f"model_{name}", f"{name}: pictures at temperature 1.")
            for name in result["models"]
        ),
        f"<h2>The routes to label {label}</h2>",
        _paragraph(
            f"Through {result['chosen']}, the best model by validation. Pictures of the first draw."
        ),
        *(
            _picture(place, f"route_{name}", f"{name}: {_describe(name, shots)}.")
            for name in result["routes"]
        ),
        "<h2>Scores</h2>",
        _paragraph(_verdict(result["routes"])),
        _scores_table(result),
        "<dl>"
        + "".join(
            f"<dt>{name}</dt><dd>{html.escape(about)}.</dd>" for name, (_, about) in SCORES.items()
        )
        + "</dl>",
        "<h2>A morph</h2>",
        _picture(place, "morph", "From an image to another and back: images above, latents below."),
        "<h2>How it was made</h2>",
        _paragraph(result["command"], tag="code"),
        _paragraph(
            f"On {result['device']}, with "
            + ", ".join(f"{name} {version}" for name, version in result["versions"].items())
            + f"; the last start of the command took {result['seconds']:.0f} s."
        ),
    ]
    text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )
    with replacing(place.report) as temporary:
        temporary.write_text(text)


def _verdict(routes) -> str:
    def frechet(name):
        found = routes[name]["frechet"]
        error = found["standard_error"]
        return f"{found['mean']:.1f}" + (f" ± {error:.1f}" if error is not None else "")

    best = min(ROUTES, key=lambda name: routes[name]["frechet"]["mean"])
    return (
        f"By the Frechet distance, the pictures of {best} are nearest to real ones: {frechet(best)}. Affine "
        f"maps of the shots, without a flow, have {frechet('affine_maps')}; as many real images, "
        f"{frechet('real')}. Means over all draws, with standard errors."
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
    for name, metrics in result["models"].items():
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
    return _table(columns, rows, names.index(result["chosen"]))


def _scores_table(result) -> str:
    rows = []
    for name, scores in result["routes"].items():
        row = [name]
        for score, (decimals, _) in SCORES.items():
            found = scores.get(score)
            error = found and found["standard_error"]
            text = f"{found['mean']:.{decimals}f}" if found else ""
            row.append(text + (f" ± {error:.{decimals}f}" if error is not None else ""))
        rows.append(row)
    return _table(["route", *SCORES], rows)


def _describe(name: str, shots: int) -> str:
    if name in CONTROLS:
        return CONTROLS[name]
    return ROUTES[name].for_shots(shots, dimensions=sys.maxsize).title


def _table(columns: Iterable[Any], rows: list[list[Any]], chosen: int | None = None) -> str:
    def line(values, tag):
        return "".join(f"<{tag}>{html.escape(str(value))}</{tag}>" for value in values)

    body = "\n".join(
        f"<tr{' class=chosen' if number == chosen else ''}>{line(row, 'td')}</tr>"
        for number, row in enumerate(rows)
    )
    return f'<div class="table"><table><tr>{line(columns, "th")}</tr>\n{body}</table></div>'


def _picture(place: ExperimentFolder, name: str, caption: str, kind: str = "pixels") -> str:
    content = base64.b64encode(place.picture(name).read_bytes()).decode()
    return (
        f'<figure><img class="{kind}" alt="{html.escape(caption)}" src="data:image/png;base64,{content}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _paragraph(text: str, tag: str = "p") -> str:
    return f"<{tag}>{html.escape(text)}</{tag}>"
