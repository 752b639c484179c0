"""Couplings, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors.cache import kept, renewed
from tfp_realnvp.bijectors.context_rows import as_rows, batch_shape, context_of_rows
from tfp_realnvp.transforms import Affine, Transform

__all__ = ["Couplings"]


class Couplings(tfb.Bijector):
    """Couplings that take turns: one part of the last axis decides how the other is transformed.

    Each of them, with `parameters = conditioner(kept, context)`, leaves the kept part as it is and does:

    - Forward (latent to image): `y[other], log_slope = transform.forward(x[other], *parameters)`
    - Inverse (image to latent): `x[other], log_slope = transform.inverse(y[other], *parameters)`
    - Forward log-determinant: `sum(log_slope)`

    With an affine transform that is `y[other] = x[other] * exp(log_scale) + shift`.

    The next one keeps what this one transformed. The kept part is the same in `x` and `y`, so both directions
    evaluate the conditioner at the same point, and only once for a pair of `x` and `y`.

    One bijector holds them all, so the input is split and joined once, not in each coupling.

    Args:
      conditioners: one for each coupling, the one next to the image first: callables from the kept part
        [n, ..., kept size] and the context to the parameters of the transform: (shift, log_scale), each
        [n, ..., other size], or (shift, log_scale, knots), see `Transform`. A Keras layer must be held by the
        model too: TFP does not see its variables.
      transform: what they do to an entry, affine by default.
      split: where the last axis is split in two.
      parity: which part the coupling next to the image keeps: 0 the first one, 1 the second one.
      context: what else the conditioners are told of each event, [n, ...], or None. With a context, the
        events have a last batch axis of n.
      event_ndims: number of axes of one event; all but the last are positions that the conditioner sees.
      name: name of the bijector.

    Raises:
      ValueError: when it is used: a conditioner whose parameters do not have the shape of the part that they
        transform.

    Example:
      >>> couplings = Couplings([lambda kept, context: (kept + 1, 0 * kept)], split=2)
      >>> couplings.forward(tf.constant([1.0, 2.0, 0.0, 0.0])).numpy()
      array([1., 2., 2., 3.], dtype=float32)

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, sections 3.2 to 3.5;
      Durkan, Bekasov, Murray, Papamakarios (2019), Neural spline flows, section 2.1 (other transforms).
    """

    def __init__(
        self,
        conditioners: Sequence[Callable],
        *,
        split: int,
        transform: Transform | None = None,
        parity: int = 0,
        context=None,
        event_ndims=1,
        name="couplings",
    ):
        parameters = dict(locals())
        self._conditioners = list(conditioners)
        self._transform = transform or Affine()
        self._split = split
        self._parity = parity
        self._context = context
        super().__init__(forward_min_event_ndims=event_ndims, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        y, log_slopes = self._walk("forward", x)
        renewed(self, "forward", x, log_slopes)
        return y

    def _inverse(self, y):
        x, log_slopes = self._walk("inverse", y)
        renewed(self, "inverse", y, log_slopes)
        return x

    def _forward_log_det_jacobian(self, x):
        log_slopes = kept(self, "forward", x, lambda: self._walk("forward", x)[1])
        axes = list(range(1, 1 + self.forward_min_event_ndims))
        log_det = tf.add_n([tf.reduce_sum(log_slope, axes) for log_slope in log_slopes])
        return tf.reshape(log_det, batch_shape(x, self._context, self.forward_min_event_ndims))

    def _walk(self, direction, values):
        """Apply all couplings, in the order of the direction: (new values, log_slope of each coupling)."""
        # The slash makes names short: without it, each operation has the names of all bijectors around this one
        # in its own, and half of a SavedModel's graph are names.
        with tf.name_scope(f"{self.name}/"):
            return self._walk_through(direction, values)

    def _walk_through(self, direction, values):
        flat, shape = as_rows(values, self._context, self.forward_min_event_ndims)
        context = context_of_rows(self._context, flat)
        # tf.split, not two slices: its gradient is one concatenation
        parts = tf.split(flat, [self._split, flat.shape[-1] - self._split], axis=-1)
        log_slopes = []
        steps = range(len(self._conditioners))
        for step in steps if direction == "inverse" else reversed(steps):
            kept_part = (self._parity + step) % 2
            other = parts[1 - kept_part]
            parameters = self._conditioners[step](parts[kept_part], context)
            self._transform.check_parameters(parameters, other)
            transform = getattr(self._transform, direction)
            parts[1 - kept_part], log_slope = transform(other, *parameters)
            log_slopes.append(log_slope)
        return tf.reshape(tf.concat(parts, axis=-1), shape), log_slopes
