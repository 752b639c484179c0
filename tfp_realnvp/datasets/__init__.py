"""Where images come from: embedded digits, TensorFlow Datasets, idx, npz, TFRecord and PNG files."""

import warnings

from tfp_realnvp.datasets.images import ImageSet, LabelledImages, concatenate
from tfp_realnvp.datasets.png import png_files, read_png, read_png_folder
from tfp_realnvp.datasets.sources import check, load
from tfp_realnvp.datasets.subsets import draw_shots, draw_shots_and_others, split
from tfp_realnvp.datasets.tfrecords import StoredImages, write_tfrecords

__all__ = [
    "ImageSet",
    "LabelledImages",
    "StoredImages",
    "check",
    "concatenate",
    "draw_shots",
    "draw_shots_and_others",
    "load",
    "png_files",
    "read_png",
    "read_png_folder",
    "split",
    "write_tfrecords",
]


def __getattr__(name: str):
    if name == "Dataset":
        warnings.warn(
            "`tfp_realnvp.datasets.Dataset` is called `ImageSet` now; the old name goes in version 0.6.",
            FutureWarning,
            stacklevel=2,
        )
        return ImageSet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
