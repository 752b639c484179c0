"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

__all__ = ["learning_curve", "learning_curves", "score_curves", "show_the_best"]


def learning_curve(history: Mapping[str, Sequence[float]]) -> Figure:
    """Plot bits per dimension of training and validation images against epochs, and mark the best epoch.

    Args:
      history: columns `epoch`, `bits_per_dim` and `val_bits_per_dim`, one entry for each epoch.

    Returns:
      A matplotlib figure.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    epochs, validation = np.asarray(history["epoch"]), np.asarray(history["val_bits_per_dim"])
    axes.plot(epochs, history["bits_per_dim"], label="training")
    axes.plot(epochs, validation, label="validation")
    if np.any(np.isfinite(validation)):
        best = int(np.nanargmin(validation))
        label = f"best: {validation[best]:.3f} after epoch {epochs[best]:.0f}"
        axes.plot(epochs[best], validation[best], "o", color="black", label=label)
        show_the_best(axes, np.concatenate([validation, np.asarray(history["bits_per_dim"])]))
    axes.set_xlabel("epoch")
    axes.set_ylabel("bits per dimension")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def learning_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Plot validation bits per dimension of several runs against the time that they took.

    Args:
      histories: rows with `seconds` and `val_bits_per_dim`, one for each epoch, by the name of the run.

    Returns:
      A matplotlib figure.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    scores = {name: [row["val_bits_per_dim"] for row in rows] for name, rows in histories.items()}
    for name, rows in histories.items():
        axes.plot([row["seconds"] / 60 for row in rows], scores[name], ".-", label=name)
    show_the_best(axes, np.concatenate(list(scores.values())))
    axes.set_xlabel("minutes")
    axes.set_ylabel("validation bits per dimension")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def score_curves(
    scores: Mapping[str, Mapping[str, Mapping[int, Mapping[str, float]]]],
    *,
    by: str,
    logarithmic: bool = False,
) -> Figure:
    """Plot scores of several routes against what differs between experiments, with standard errors.

    Args:
      scores: `mean` and `standard_error` (None if there is none), by the name of the score, the name of the
        route and the value of what differs.
      by: what differs.
      logarithmic: whether its axis is.

    Returns:
      A matplotlib figure, one pair of axes for each score.
    """
    values = sorted(
        {value for routes in scores.values() for found in routes.values() for value in found}
    )
    figure = Figure(figsize=(7, 3.5 * len(scores)), layout="constrained")
    for axes, (score, routes) in zip(
        np.atleast_1d(figure.subplots(len(scores), 1)), scores.items(), strict=True
    ):
        for name, found in routes.items():
            means = [one["mean"] for one in found.values()]
            errors = [one["standard_error"] or 0.0 for one in found.values()]
            axes.errorbar(list(found), means, errors, fmt=".-", capsize=2, label=name)
        axes.set_ylabel(score)
        axes.set_xscale("log" if logarithmic else "linear")
        axes.set_xticks(values, list(map(str, values)))
        axes.grid(alpha=0.3)
    axes.set_xlabel(by)
    figure.axes[0].legend(fontsize=8)
    return figure


def show_the_best(axes, scores: np.ndarray) -> None:
    """Let the axes end above nine tenths of the scores: beside the worst, all others would look equal.

    Args:
      axes: of matplotlib.
      scores: what is plotted upwards, float [n]; what is not finite does not count.
    """
    known = scores[np.isfinite(scores)]
    if known.size:
        low, high = known.min(), np.quantile(known, 0.9)
        margin = 0.15 * (high - low) + 1e-3
        axes.set_ylim(low - margin, high + margin)
