"""Affine couplings, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors.cache import of_pair

__all__ = ["Couplings"]


class Couplings(tfb.Bijector):
    """Affine couplings that take turns: one part of the last axis decides how the other is transformed.

    Each of them, with `shift, log_scale = conditioner(kept, context)`, leaves the kept part as it is and does:

    - Forward (latent to image): `y[other] = x[other] * exp(log_scale) + shift`
    - Inverse (image to latent): `x[other] = (y[other] - shift) * exp(-log_scale)`
    - Forward log-determinant: `sum(log_scale)`

    The next one keeps what this one transformed. The kept part is the same in `x` and `y`, so both directions
    evaluate the conditioner at the same point, and only once for a pair of `x` and `y`.

    They are one bijector, because the parts are so cut once and joined once, not between any two couplings.

    Args:
      conditioners: of each coupling, the one next to the image first: callables from the kept part
        [n, ..., kept size] and the context to (shift, log_scale), each [n, ..., other size]. A Keras layer must
        be held by the model too: TFP does not see its variables.
      split: where the last axis is cut in two.
      parity: what the coupling next to the image keeps: 0 the part before the cut, 1 the part after it.
      context: what the conditioners are told of each event besides, [n, ...], or None.
      event_ndims: number of axes of one event; all but the last are positions that the conditioner sees.
      name: name of the bijector.

    Example:
      >>> couplings = Couplings([lambda kept, context: (kept + 1, 0 * kept)], split=2)
      >>> couplings.forward(tf.constant([1.0, 2.0, 0.0, 0.0])).numpy()
      array([1., 2., 2., 3.], dtype=float32)

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, sections 3.2 to 3.5.
    """

    def __init__(
        self,
        conditioners: Sequence[Callable],
        *,
        split: int,
        parity: int = 0,
        context=None,
        event_ndims=1,
        name="couplings",
    ):
        parameters = dict(locals())
        self._conditioners = list(conditioners)
        self._split = split
        self._parity = parity
        self._context = context
        super().__init__(forward_min_event_ndims=event_ndims, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        def affine(other, shift, log_scale):
            return other * tf.exp(log_scale) + shift

        return self._walk("forward", x, affine)

    def _inverse(self, y):
        def affine(other, shift, log_scale):
            return (other - shift) * tf.exp(-log_scale)

        return self._walk("inverse", y, affine)

    def _forward_log_det_jacobian(self, x):
        if len(self._parameters_of("forward", x)) < len(self._conditioners):
            self._forward(x)
        axes = list(range(1, 1 + self.forward_min_event_ndims))
        parameters = self._parameters_of("forward", x).values()
        log_det = tf.add_n([tf.reduce_sum(log_scale, axes) for _, log_scale in parameters])
        return tf.reshape(log_det, tf.shape(x)[: x.shape.rank - len(axes)])

    def _walk(self, direction, values, affine):
        """Through all of them. Keras layers want one batch axis, distributions have any number."""
        flat = tf.reshape(values, [-1, *values.shape[-self.forward_min_event_ndims :]])
        # tf.split, not two slices: its gradient is one concatenation
        parts = tf.split(flat, [self._split, flat.shape[-1] - self._split], axis=-1)
        parameters = self._parameters_of(direction, values)
        steps = range(len(self._conditioners))
        for step in steps if direction == "inverse" else reversed(steps):
            kept = (self._parity + step) % 2
            if step not in parameters:
                parameters[step] = self._conditioners[step](parts[kept], self._context)
            parts[1 - kept] = affine(parts[1 - kept], *parameters[step])
        return tf.reshape(tf.concat(parts, axis=-1), tf.shape(values))

    def _parameters_of(self, direction, values):
        """(shift, log_scale) by step, as far as they are known of this pair."""
        return of_pair(self, direction, values).setdefault("parameters", {})
