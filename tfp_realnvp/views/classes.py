"""How well classes are recognized, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

__all__ = ["confusion", "reliability"]


def confusion(counts: np.ndarray, labels: np.ndarray) -> Figure:
    """Draw a table of images by true label (rows) and recognized label; a darker cell is more of its row.

    Args:
      counts: int [k, k].
      labels: int [k], those of rows and columns.

    Returns:
      A matplotlib figure.
    """
    side = max(4.0, 0.55 * len(labels) + 1)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, count or "", ha="center", va="center", color=color, fontsize=8)
    axes.set_xticks(range(len(labels)), map(str, labels))
    axes.set_yticks(range(len(labels)), map(str, labels))
    axes.set_xlabel("recognized")
    axes.set_ylabel("true label")
    return figure


def reliability(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Plot how often a recognized label is right against how sure of it the classifier was.

    Args:
      rows: `confidence`, `accuracy` and number of `images` of each bin.

    Returns:
      A matplotlib figure.
    """
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color="grey", label="as sure as right")
    columns = {name: [row[name] for row in rows] for name in ("confidence", "accuracy")}
    axes.plot(columns["confidence"], columns["accuracy"], ".-", label="ten bins")
    for row in rows:
        point = (row["confidence"], row["accuracy"])
        axes.annotate(f"{row['images']:,}", point, (4, -10), textcoords="offset points", fontsize=8)
    axes.set_xlabel("probability of the recognized label")
    axes.set_ylabel("share that is right")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure
