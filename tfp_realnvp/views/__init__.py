"""Pictures from arrays: grids of images, learning curves, morphs, searches."""

from tfp_realnvp.views.classes import confusion, reliability
from tfp_realnvp.views.curves import learning_curve, learning_curves, score_curves
from tfp_realnvp.views.grids import (
    COLUMNS,
    check_count,
    comparison,
    grid,
    scale_for,
    titled_grid,
    to_256_levels,
)
from tfp_realnvp.views.latents import bits_maps, latent_plots
from tfp_realnvp.views.morphs import morph_strip, write_gif
from tfp_realnvp.views.pictures import write_png
from tfp_realnvp.views.searches import importances, search_history

__all__ = [
    "COLUMNS",
    "bits_maps",
    "check_count",
    "comparison",
    "confusion",
    "grid",
    "importances",
    "latent_plots",
    "learning_curve",
    "learning_curves",
    "morph_strip",
    "reliability",
    "scale_for",
    "score_curves",
    "search_history",
    "titled_grid",
    "to_256_levels",
    "write_gif",
    "write_png",
]
