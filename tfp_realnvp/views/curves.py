"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

__all__ = ["learning_curve", "learning_curves", "show_the_best"]


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
