"""What a SavedModel answers: its signatures, with the checks that a public server needs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_realnvp.compute.sharding import at_least_one_row
from tfp_realnvp.flows import ImageFlow, missing, pixels
from tfp_realnvp.serving.limits import LARGEST_TEMPERATURE, LOWEST, MAX_IMAGES

__all__ = ["Signature", "make_signatures"]

PNG_CHANNELS = (1, 2, 3, 4)


class Signature(NamedTuple):
    """A function of a SavedModel.

    Attributes:
      function: takes tensors, returns a dictionary of tensors.
      inputs: name, shape and type of each argument of the function, in order.
      outputs: type, shape and unit of each output, by name.
      about: what the function gives, in a few words.
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: list[tf.TensorSpec]
    outputs: dict[str, str]
    about: str


def make_signatures(
    flow: ImageFlow, *, base: tfd.Distribution | None = None, max_images: int = MAX_IMAGES
) -> dict[str, Signature]:
    """The signatures of a flow by name; the first one is a server's default.

    An input that they cannot answer raises an error that names it. All numbers that they give are finite.

    Args:
      flow: a flow.
      base: old, goes with version 0.7: another distribution of the flow's latents, over
        [height, width, channels]. Give a `FewShotFlow` instead, as `fewshot.few_shot_flow` makes.
      max_images: largest number of images that a request may draw, at least 1.

    Returns:
      Signatures by name: log_prob, sample, sample_rows, encode, decode; classify for a flow with labels; fill
      for one that is told the rest of an image (see `flows.missing`); and those that draw with _png, for images
      that a PNG file can hold.

    Raises:
      ValueError: `max_images` below 1, or a `base` for a flow that is told something.
    """
    if max_images < 1:
        raise ValueError(f"`max_images` must be at least 1, received {max_images}.")
    if base is not None:
        warnings.warn(
            "`base` goes with version 0.7: give `fewshot.few_shot_flow(flow, shots, route)` as the flow.",
            FutureWarning,
            stacklevel=2,
        )
    if base is not None and flow.told.shape:
        raise ValueError(
            f"`base` must be None for a flow with labels or a context, received {base}: take `flow.given`."
        )
    functions = _SignatureFunctions(flow, base, max_images)
    images = tf.TensorSpec([None, *flow.image_shape], tf.uint8, name="images")
    latents = tf.TensorSpec([None, *flow.image_shape], tf.float32, name="latents")
    labels = [tf.TensorSpec([None], tf.int32, name="labels")] if flow.labels else []
    context = []
    if flow.context_shape is not None:
        context = [tf.TensorSpec([None, *flow.context_shape], tf.float32, name="context")]
    told = [*labels, *context]
    number = tf.TensorSpec([], tf.int32, name="num_samples")
    seed = tf.TensorSpec([2], tf.int32, name="seed")
    temperature = tf.TensorSpec([], tf.float32, name="temperature")
    seeds = tf.TensorSpec([None, 2], tf.int32, name="seed")
    temperatures = tf.TensorSpec([None], tf.float32, name="temperature")
    shape = f"[n, {', '.join(map(str, flow.image_shape))}]"
    drawn = {"images": f"uint8 {shape}"}
    words = " and ".join(["labels"] * len(labels) + ["contexts"] * len(context))
    what = f"images of these {words}" if words else "images"
    signatures = {
        "log_prob": Signature(
            functions.log_prob,
            [images, *told],
            {"log_prob": "float32 [n], nats", "bits_per_dim": "float32 [n]"},
            "scores of images",
        ),
        "sample": Signature(
            functions.sample_told if told else functions.sample,
            [*(told or [number]), seed, temperature],
            drawn,
            f"new {what}, from one seed",
        ),
        "sample_rows": Signature(
            functions.sample_rows,
            [seeds, temperatures, *told],
            drawn,
            f"new {what}, each from a seed of its own; requests may be batched",
        ),
        "encode": Signature(
            functions.encode,
            [images, *told],
            {"latents": f"float32 {shape}"},
            "the latents of images",
        ),
        "decode": Signature(functions.decode, [latents, *told], drawn, "the images of latents"),
    }
    if flow.labels:
        signatures["classify"] = Signature(
            functions.classify,
            [images, *context],
            {"labels": "int32 [n]"},
            "the likeliest labels of images",
        )
    if missing.is_told_the_rest(flow):
        mask = tf.TensorSpec([None, *flow.image_shape[:2], 1], tf.bool, name="mask")
        signatures["fill"] = Signature(
            functions.fill,
            [images, mask, seeds, temperatures, *labels],
            drawn,
            "images with new pixels where the mask is false, each from a seed of its own",
        )
    signatures = {name: _checked(signature) for name, signature in signatures.items()}
    if flow.image_shape[-1] in PNG_CHANNELS:
        drawing = ("sample", "sample_rows", "decode", "fill")
        for name in [name for name in drawing if name in signatures]:
            signatures[f"{name}_png"] = _as_png(signatures[name], flow.levels)
    for name in {"sample", "sample_png"} & signatures.keys():
        signatures[name] = _with_temperature(signatures[name])
    return signatures


class _SignatureFunctions:
    """The functions of the signatures. Their arguments have the names of the inputs."""

    def __init__(self, flow: ImageFlow, base: tfd.Distribution | None, max_images: int):
        self._flow, self._base, self._max_images = flow, base, max_images
        # a function of its own, so that the graph of the flow is written once, and not in each signature
        self._decode = tf.function(flow.decode, autograph=False)

    def log_prob(self, images, **told):
        values = self._log_prob(images, **_check_told(told, images))
        # NaN is above nothing, so it becomes LOWEST too
        values = tf.where(values > LOWEST, tf.minimum(values, -LOWEST), LOWEST)
        bits = pixels.bits_per_dim(values, self._flow.image_shape)
        return {"log_prob": values, "bits_per_dim": bits}

    def encode(self, images, **told):
        latents = self._flow.encode(images, **_check_told(told, images))
        latents = tf.where(tf.math.is_nan(latents), 0.0, latents)
        return {"latents": tf.clip_by_value(latents, LOWEST, -LOWEST)}

    def decode(self, latents, **told):
        finite = tf.reduce_all(tf.math.is_finite(latents))
        latents = _require(latents, finite, "`latents` must be finite, received", latents)
        return {"images": self._decode(latents, **_check_told(told, latents))}

    def classify(self, images, **told):
        return {"labels": self._flow.classify(images, **_check_told(told, images))}

    def sample(self, num_samples, seed, temperature):
        number = self._check_number(num_samples, num_samples, "num_samples")
        latents = self._draw(number, seed, _check_temperature(temperature))
        return {"images": self._decode(latents)}

    def sample_told(self, seed, temperature, **told):
        name, first = next(iter(told.items()))
        number = self._check_number(tf.shape(first)[0], tf.shape(first)[0], name)
        latents = self._draw(number, seed, _check_temperature(temperature))
        return {"images": self._decode(latents, **_check_told(told, latents))}

    def sample_rows(self, seed, temperature, **told):
        seed = self._check_number(seed, tf.shape(seed)[0], "seed")
        temperature = _check_temperature(_check_rows(temperature, seed, "temperature"))
        told = _check_told(told, seed)

        def one(row):
            return self._draw(1, *row)[0]

        latents = tf.map_fn(one, (seed, temperature), fn_output_signature=tf.float32)
        latents = tf.ensure_shape(latents, [None, *self._flow.image_shape])
        return {"images": self._decode(latents, **told)}

    def fill(self, images, mask, seed, temperature, **labels):
        mask = _check_rows(mask, images, "mask")
        levels = self._flow.levels
        images = _require(
            images,
            tf.reduce_all(tf.logical_not(mask) | (tf.cast(images, tf.int32) < levels)),
            f"`images` must be in [0, {levels - 1}] where `mask` is true, received",
            images,
        )
        seed = _check_rows(seed, images, "seed")
        context = missing.tell(images, mask, levels=levels)
        drawn = self.sample_rows(seed, temperature, context=context, **labels)["images"]
        return {"images": tf.where(mask, images, drawn)}

    def _log_prob(self, images, **told):
        if self._base is None:
            return self._flow.log_prob(images, **told)

        def log_prob(images):
            return pixels.log_prob(
                tfd.TransformedDistribution(self._base, self._flow.bijector),
                images,
                levels=self._flow.levels,
                dequantizer=self._flow.dequantizer,
            )

        return at_least_one_row(log_prob, images)

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
    """The signature with a function that checks the shapes of its inputs, and passes them by name."""

    def function(*inputs):
        checked = map(_check_shape, inputs, signature.inputs)
        names = (spec.name for spec in signature.inputs)
        return signature.function(**dict(zip(names, checked, strict=True)))

    return signature._replace(function=function)


def _with_temperature(signature: Signature) -> Signature:
    """The signature with a default temperature of 1: TensorFlow reads it from the function's own default."""

    def function(number, seed, temperature=tf.constant(1.0)):  # noqa: B008
        return signature.function(number, seed, temperature)

    def function_of_both(labels, context, seed, temperature=tf.constant(1.0)):  # noqa: B008
        return signature.function(labels, context, seed, temperature)

    return signature._replace(function=function if len(signature.inputs) == 3 else function_of_both)


def _as_png(signature: Signature, levels: int) -> Signature:
    """The signature with PNG files of 256 grey levels in place of images."""

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
    """The tensor; if the condition does not hold, `InvalidArgumentError` with the message and `received`."""
    check = tf.debugging.Assert(condition, [message, received], summarize=8)
    with tf.control_dependencies([check]):
        return tf.identity(tensor)


def _check_shape(tensor, spec):
    """The input, if it has the shape of its signature, which TensorFlow's C++ loader does not check."""
    return tf.ensure_shape(tensor, spec.shape, name=f"shape_of_{spec.name}")


def _check_temperature(temperature):
    return _require(
        temperature,
        tf.reduce_all((temperature > 0) & (temperature <= LARGEST_TEMPERATURE)),
        f"`temperature` must be above 0 and at most {LARGEST_TEMPERATURE:g}, received",
        temperature,
    )


def _check_told(told, others):
    """Labels and context by name, each with as many rows as the others."""
    return {name: _check_rows(tensor, others, name) for name, tensor in told.items()}


def _check_rows(tensor, others, name):
    """The tensor, if it has as many rows as the others."""
    rows = tf.shape(tensor)[0]
    expected = tf.shape(others)[0]
    return _require(
        tensor,
        rows == expected,
        f"`{name}` must have as many rows as the other input, received",
        rows,
    )
