"""Scoring and drawing that outgrow a machine: Apache Beam pipelines around a SavedModel."""

try:
    import apache_beam  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "a pipeline needs the extra `beam`: pip install -e '.[beam]'."
    ) from error

from tfp_realnvp.pipelines.draw import draw_files
from tfp_realnvp.pipelines.score import score_files

__all__ = ["draw_files", "score_files"]
