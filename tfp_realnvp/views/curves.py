"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

__all__ = ["learning_curve"]


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
        # The first epochs may lie above the axes: beside their steep fall the rest would look flat.
        known = np.concatenate([validation, np.asarray(history["bits_per_dim"])])
        known = known[np.isfinite(known)]
        low, high = known.min(), np.quantile(known, 0.9)
        margin = 0.15 * (high - low) + 1e-3
        axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("epoch")
    axes.set_ylabel("bits per dimension")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure
