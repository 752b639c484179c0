"""What a SavedModel answers: its signatures, with the checks that a public server needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_realnvp.flows import ImageFlow, pixels

__all__ = ["LARGEST_TEMPERATURE", "LOWEST", "MAX_IMAGES", "Signature", "make_signatures"]

MAX_IMAGES = 1024  # that a request may ask for
LARGEST_TEMPERATURE = 10.0
LOWEST = -1e30  # log-probability of an image that the model holds for impossible
PNG_CHANNELS = (1, 2, 3, 4)


class Signature(NamedTuple):
    """A function of a SavedModel.

    Attributes:
      function: from tensors to a dictionary of tensors.
      inputs: what it takes, in the order of the function's arguments.
      outputs: type, shape and unit of what it gives, by name.
      about: what it does, in a line.
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: list[tf.TensorSpec]
    outputs: dict[str, str]
    about: str


def make_signatures(
    flow: ImageFlow, *, base: tfd.Distribution | None = None, max_images: int = MAX_IMAGES
) -> dict[str, Signature]:
    """The signatures of a flow by name; the first one is a server's default.

    They refuse what they cannot answer with an error that names the input, and give finite numbers only.

    Args:
      flow: a flow.
      base: another distribution of its latents, over [height, width, channels]: that of a few-shot
        transfer. None means the flow's own, independent standard normals.
      max_images: at most so many images are drawn at once.

    Returns:
      Signatures by name: log_prob, sample, sample_rows, encode, decode; classify for a flow with labels;
      sample_png, sample_rows_png and decode_png for images that a PNG file can hold.

    Raises:
      ValueError: `max_images` below 1, or a `base` for a class-conditional flow.
    """
    if max_images < 1:
        raise ValueError(f"`max_images` must be at least 1, received {max_images}.")
    if base is not None and flow.labels:
        raise ValueError("`base` goes with a flow without labels alone.")
    answers = _Answers(flow, base, max_images)
    images = tf.TensorSpec([None, *flow.image_shape], tf.uint8, name="images")
    latents = tf.TensorSpec([None, *flow.image_shape], tf.float32, name="latents")
    labels = [tf.TensorSpec([None], tf.int32, name="labels")] if flow.labels else []
    number = tf.TensorSpec([], tf.int32, name="num_samples")
    seed = tf.TensorSpec([2], tf.int32, name="seed")
    temperature = tf.TensorSpec([], tf.float32, name="temperature")
    seeds = tf.TensorSpec([None, 2], tf.int32, name="seed")
    temperatures = tf.TensorSpec([None], tf.float32, name="temperature")
    shape = f"[n, {', '.join(map(str, flow.image_shape))}]"
    drawn = {"images": f"uint8 {shape}"}
    what = "images of these labels" if labels else "images"
    found = {
        "log_prob": Signature(
            answers.log_prob,
            [images, *labels],
            {"log_prob": "float32 [n], nats", "bits_per_dim": "float32 [n]"},
            "scores of images",
        ),
        "sample": Signature(
            answers.sample_labels if labels else answers.sample,
            [*(labels or [number]), seed, temperature],
            drawn,
            f"new {what}, from one seed",
        ),
        "sample_rows": Signature(
            answers.sample_rows,
            [seeds, temperatures, *labels],
            drawn,
            f"new {what}, each from a seed of its own; requests may be batched",
        ),
        "encode": Signature(
            answers.encode,
            [images, *labels],
            {"latents": f"float32 {shape}"},
            "the latents of images",
        ),
        "decode": Signature(answers.decode, [latents, *labels], drawn, "the images of latents"),
    }
    if flow.labels:
        found["classify"] = Signature(
            answers.classify, [images], {"labels": "int32 [n]"}, "the likeliest labels of images"
        )
    found = {name: _checked(signature) for name, signature in found.items()}
    if flow.image_shape[-1] in PNG_CHANNELS:
        for name in ("sample", "sample_rows", "decode"):
            found[f"{name}_png"] = _as_png(found[name], flow.levels)
    for name in {"sample", "sample_png"} & found.keys():
        found[name] = _with_temperature(found[name])
    return found


class _Answers:
    """The functions of the signatures. Arguments are called as inputs are."""

    def __init__(self, flow: ImageFlow, base: tfd.Distribution | None, max_images: int):
        self._flow, self._base, self._max_images = flow, base, max_images

    def log_prob(self, images, labels=None):
        values = self._log_prob(images, _check_rows(labels, images, "labels"))
        # NaN is not above anything either
        values = tf.where(values > LOWEST, tf.minimum(values, -LOWEST), LOWEST)
        bits = pixels.bits_per_dim(values, self._flow.image_shape)
        return {"log_prob": values, "bits_per_dim": bits}

    def encode(self, images, labels=None):
        latents = self._flow.encode(images, _check_rows(labels, images, "labels"))
        latents = tf.where(tf.math.is_nan(latents), 0.0, latents)
        return {"latents": tf.clip_by_value(latents, LOWEST, -LOWEST)}

    def decode(self, latents, labels=None):
        finite = tf.reduce_all(tf.math.is_finite(latents))
        latents = _require(latents, finite, "`latents` must be finite, received", latents)
        return {"images": self._flow.decode(latents, _check_rows(labels, latents, "labels"))}

    def classify(self, images):
        return {"labels": self._flow.classify(images)}

    def sample(self, number, seed, temperature):
        number = self._check_number(number, number, "num_samples")
        latents = self._draw(number, seed, _check_temperature(temperature))
        return {"images": self._flow.decode(latents)}

    def sample_labels(self, labels, seed, temperature):
        labels = self._check_number(labels, tf.size(labels), "labels")
        latents = self._draw(tf.size(labels), seed, _check_temperature(temperature))
        return {"images": self._flow.decode(latents, labels)}

    def sample_rows(self, seed, temperature, labels=None):
        seed = self._check_number(seed, tf.shape(seed)[0], "seed")
        temperature = _check_temperature(_check_rows(temperature, seed, "temperature"))
        labels = _check_rows(labels, seed, "labels")

        def one(row):
            return self._draw(1, *row)[0]

        latents = tf.map_fn(one, (seed, temperature), fn_output_signature=tf.float32)
        latents = tf.ensure_shape(latents, [None, *self._flow.image_shape])
        return {"images": self._flow.decode(latents, labels)}

    def _log_prob(self, images, labels):
        if self._base is None:
            return self._flow.log_prob(images, labels)
        return pixels.log_prob(
            tfd.TransformedDistribution(self._base, self._flow.bijector),
            images,
            levels=self._flow.levels,
            dequantizer=self._flow.dequantizer,
        )

    def _draw(self, number, seed, temperature):
        """Latents [number, height, width, channels]."""
        if self._base is None:
            return self._flow.draw_latents(number, temperature, seed)
        mean = self._base.mean()
        return mean + temperature * (self._base.sample(number, seed=seed) - mean)

    def _check_number(self, tensor, number, name):
        return _require(
            tensor,
            (number >= 1) & (number <= self._max_images),
            f"`{name}` must ask for 1 to {self._max_images} images, received",
            number,
        )


def _checked(signature: Signature) -> Signature:
    """The signature with a function that looks at the shapes of what it is given."""

    def function(*inputs):
        return signature.function(*map(_check_shape, inputs, signature.inputs))

    return signature._replace(function=function)


def _with_temperature(signature: Signature) -> Signature:
    """The signature with a temperature of 1 where none is given: TensorFlow looks for such a default."""

    def function(number, seed, temperature=tf.constant(1.0)):  # noqa: B008
        return signature.function(number, seed, temperature)

    return signature._replace(function=function)


def _as_png(signature: Signature, levels: int) -> Signature:
    def function(*inputs):
        images = signature.function(*inputs)["images"]
        if levels < 256:
            grey = tf.cast(images, tf.float32) * (255 / (levels - 1))
            images = tf.cast(tf.round(grey), tf.uint8)
        return {"images_bytes": tf.io.encode_png(images)}

    return signature._replace(
        function=function,
        outputs={"images_bytes": "string [n], PNG files"},
        about=f"{signature.about}, as PNG files",
    )


def _require(tensor, condition, message, received):
    """The tensor, or `InvalidArgumentError` with the message and what was received."""
    check = tf.debugging.Assert(condition, [message, received], summarize=8)
    with tf.control_dependencies([check]):
        return tf.identity(tensor)


def _check_shape(tensor, spec):
    """The input, if it has the shape of its signature: TensorFlow's C++ loader does not look."""
    return tf.ensure_shape(tensor, spec.shape, name=f"shape_of_{spec.name}")


def _check_temperature(temperature):
    return _require(
        temperature,
        tf.reduce_all((temperature > 0) & (temperature <= LARGEST_TEMPERATURE)),
        f"`temperature` must be above 0 and at most {LARGEST_TEMPERATURE:g}, received",
        temperature,
    )


def _check_rows(tensor, others, name):
    """The tensor, if there is one, with as many rows as the others."""
    if tensor is None:
        return None
    rows = tf.shape(tensor)[0]
    expected = tf.shape(others)[0]
    return _require(
        tensor,
        rows == expected,
        f"`{name}` must have as many rows as the other input, received",
        rows,
    )
