"""Plots of a search for the best options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfp_realnvp.views.curves import show_the_best

__all__ = ["importances", "search_history"]


def search_history(
    numbers: Sequence[int], scores: Sequence[float], complete: Sequence[bool]
) -> Figure:
    """Plot the score of each trial, and the best so far.

    Args:
      numbers: of the trials, in order.
      scores: bits per dimension of their validation images.
      complete: whether a trial came to its end; only those can be the best.

    Returns:
      A matplotlib figure.
    """
    number, score, ended = (
        np.asarray(numbers),
        np.asarray(scores, float),
        np.asarray(complete, bool),
    )
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(number[ended], score[ended], "o", label="complete")
    if not ended.all():
        axes.plot(number[~ended], score[~ended], "x", color="gray", label="ended early")
    if ended.any():
        best = np.minimum.accumulate(np.where(ended, score, np.inf))
        known = np.isfinite(best)
        label = f"best: {best[-1]:.3f}"
        axes.step(number[known], best[known], where="post", color="black", label=label)
    show_the_best(axes, score[ended] if ended.any() else score)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel("bits per dimension of validation images")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def importances(shares: Mapping[str, float]) -> Figure:
    """Plot how much of the differences between trials each option explains.

    Args:
      shares: by the name of the option.

    Returns:
      A matplotlib figure.
    """
    names = sorted(shares, key=lambda name: shares[name])
    figure = Figure(figsize=(7, 1 + 0.35 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, [shares[name] for name in names])
    axes.set_xlabel("share of the differences between trials (fANOVA)")
    axes.grid(axis="x", alpha=0.3)
    return figure
