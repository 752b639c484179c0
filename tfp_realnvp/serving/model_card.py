"""The model card that travels with a SavedModel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfp_realnvp.flows import ImageFlow
from tfp_realnvp.serving.signatures import LARGEST_TEMPERATURE, LOWEST, Signature
from tfp_realnvp.training.config import TrainingConfig

__all__ = ["model_card"]

PARTS = {
    "train": "of the training images",
    "validation": "validation images, by which the epoch was chosen",
    "test": "test images of the labels that were learned",
    "held_out": "test images of the labels that were held out",
}


def model_card(
    flow: ImageFlow,
    signatures: Mapping[str, Signature],
    *,
    max_images: int,
    config: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    about: str = "",
) -> str:
    """What a SavedModel is, what it was made from, what it answers and what it is not for, in Markdown.

    Args:
      flow: what is exported.
      signatures: what it answers.
      max_images: that it draws at once.
      config: config.json of the run that trained it, if it is known.
      metrics: metrics.json of that run, or of the transfer.
      about: a paragraph on what is special about it.

    Returns:
      The card's text.

    Raises:
      ValueError: `config` is not what this version writes.
    """
    height, width, channels = flow.image_shape
    trained_on = ""
    if config:
        training = TrainingConfig.from_json(dict(config))
        without = f" without the labels {', '.join(map(str, training.hold_out))}"
        trained_on = f" Trained on {training.dataset}{without if training.hold_out else ''}."
    lines = [
        "# Model card",
        "",
        f"A {type(flow).__name__}: a distribution of images of {height}x{width}x{channels} numbers, integers "
        f"from 0 to {flow.levels - 1}; {flow.count_params():,} parameters.{trained_on}",
        *(["", about] if about else []),
        *_scores(metrics),
        "",
        "## Signatures",
        "",
        "| signature | gives | inputs | outputs |",
        "|---|---|---|---|",
        *(
            f"| {name} | {signature.about} | {', '.join(map(_spec, signature.inputs))} "
            f"| {', '.join(f'{key} {kind}' for key, kind in signature.outputs.items())} |"
            for name, signature in signatures.items()
        ),
        "",
        f"`{next(iter(signatures))}` is the default. A seed is any two integers; the same seed gives the same "
        "image, and an image's score is the same in any batch, but for rounding. A temperature is above 0 "
        f"and at most {LARGEST_TEMPERATURE:g}; `sample` takes 1 where it is left out. At most "
        f"{max_images:,} images are drawn at once. All numbers are finite: an image that the model holds for "
        f"impossible has the log-probability {LOWEST:g}.",
        "",
        "## Limits",
        "",
        "A log-probability says how likely an image is under this distribution, nothing else. By itself it "
        "does not tell whether an image is of the kind that was learned: simple images of another kind often "
        "score better (Nalisnick, Matsukawa, Teh, Gorur, Lakshminarayanan (2019), Do deep generative models "
        "know what they don't know?). Compare bits per dimension only between images of one shape and one "
        "number of grey levels.",
    ]
    return "\n".join(lines) + "\n"


def _spec(spec: tf.TensorSpec) -> str:
    sizes = ", ".join("n" if size is None else str(size) for size in spec.shape)
    return f"{spec.name} {spec.dtype.name} [{sizes}]"


def _scores(metrics: Mapping[str, Any] | None) -> list[str]:
    """The table of a run's scores, or of a transfer's."""
    metrics = metrics or {}
    rows = [
        f"| {title} | {metrics[part]['bits_per_dim']:.4f} |"
        for part, title in PARTS.items()
        if metrics.get(part)
    ]
    if "unseen_images" in metrics:
        bits = metrics["bits_per_dim"]["latent_chosen"]
        title = f"{metrics['unseen_images']:,} other images of label {metrics['label']}"
        rows.append(f"| {title} | {bits:.4f} |")
    return ["", "| images | bits per dimension |", "|---|---|", *rows] if rows else []
