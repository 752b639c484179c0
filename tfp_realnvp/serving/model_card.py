"""The model card that travels with a SavedModel."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tfp_realnvp.flows import ImageFlow
from tfp_realnvp.serving.limits import LARGEST_TEMPERATURE, LOWEST
from tfp_realnvp.serving.signatures import Signature

__all__ = ["model_card"]

MIXTURE = (
    "Its latents are not standard normal: they have a mixture of {} Gaussians. `sample` draws from it, and "
    "`decode` is for latents of `encode`."
)
ESTIMATED = (
    "Its log-probabilities are estimates, right in the mean. The estimate of an image depends on the image "
    "alone."
)


def model_card(
    flow: ImageFlow,
    signatures: Mapping[str, Signature],
    *,
    max_images: int,
    about: str = "",
    scores: Mapping[str, float] | None = None,
) -> str:
    """What a SavedModel is, what it was made from, what it answers and what it is not for, in Markdown.

    Args:
      flow: the flow that is exported.
      signatures: what the SavedModel answers, by name.
      max_images: largest number of images of a request.
      about: what the model was made from, in Markdown.
      scores: bits per dimension by what was scored.

    Returns:
      The card's text.
    """
    height, width, channels = flow.image_shape
    lines = [
        "# Model card",
        "",
        f"A {type(flow).__name__}: a distribution of images of {height}x{width}x{channels} numbers, integers "
        f"from 0 to {flow.levels - 1}; {flow.count_params():,} parameters.",
        *(["", about] if about else []),
        *(["", MIXTURE.format(flow.components)] if flow.components > 1 else []),
        *([] if flow.exact else ["", ESTIMATED]),
        *_score_table(scores or {}),
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


def _score_table(scores: Mapping[str, float]) -> list[str]:
    rows = [f"| {title} | {bits:.4f} |" for title, bits in scores.items()]
    return ["", "| images | bits per dimension |", "|---|---|", *rows] if rows else []
