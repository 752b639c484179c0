"""The affine coupling."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors.cache import once_per_pair

__all__ = ["Coupling"]


class Coupling(tfb.Bijector):
    """Affine coupling: one part of the last axis passes through and decides how the other is transformed.

    - Forward (latent to image): `y[kept] = x[kept]`, `y[other] = x[other] * exp(log_scale) + shift`
    - Inverse (image to latent): `x[kept] = y[kept]`, `x[other] = (y[other] - shift) * exp(-log_scale)`
    - Forward log-determinant: `sum(log_scale)`

    with `shift, log_scale = conditioner(x[kept], context)`. The kept part is the same in `x` and `y`, so both
    directions evaluate the conditioner at the same point, and only once for a pair of `x` and `y`.

    Args:
      conditioner: a callable from the kept part [n, ..., kept size] and the context to (shift, log_scale),
        each [n, ..., other size]. A Keras layer must be held by the model too: TFP does not see its
        variables.
      split: where the last axis is cut in two.
      parity: 0 keeps the part before the cut, 1 the part after it.
      context: what the conditioner is told of each event besides, [n, ...], or None.
      event_ndims: number of axes of one event; all but the last are positions that the conditioner sees.
      name: name of the bijector.

    Example:
      >>> coupling = Coupling(lambda kept, context: (kept + 1, 0 * kept), split=2, parity=0)
      >>> coupling.forward(tf.constant([1.0, 2.0, 0.0, 0.0])).numpy()
      array([1., 2., 2., 3.], dtype=float32)

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, sections 3.2 to 3.4.
    """

    def __init__(
        self, conditioner, *, split: int, parity: int, context=None, event_ndims=1, name="coupling"
    ):
        parameters = dict(locals())
        self._conditioner = conditioner
        self._context = context
        self._split = split
        self._parity = parity
        super().__init__(forward_min_event_ndims=event_ndims, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _parts(self, values):
        """(kept, other) of `values`; `_join` puts them back."""
        # tf.split, not two slices: its gradient is one concatenation
        sizes = [self._split, values.shape[-1] - self._split]
        first, second = tf.split(values, sizes, axis=-1)
        return (second, first) if self._parity else (first, second)

    def _join(self, kept, other):
        return tf.concat([other, kept] if self._parity else [kept, other], axis=-1)

    def _forward(self, x):
        kept, other = self._parts(x)
        shift, log_scale = once_per_pair(self, "forward", x, lambda: self._condition(kept))
        return self._join(kept, other * tf.exp(log_scale) + shift)

    def _inverse(self, y):
        kept, other = self._parts(y)
        shift, log_scale = once_per_pair(self, "inverse", y, lambda: self._condition(kept))
        return self._join(kept, (other - shift) * tf.exp(-log_scale))

    def _forward_log_det_jacobian(self, x):
        kept, _ = self._parts(x)
        _, log_scale = once_per_pair(self, "forward", x, lambda: self._condition(kept))
        return tf.reduce_sum(log_scale, axis=list(range(-self.forward_min_event_ndims, 0)))

    def _condition(self, kept):
        """(shift, log_scale); Keras layers want one batch axis, distributions have any number."""
        batch_ndims = kept.shape.rank - self.forward_min_event_ndims
        batch = tf.shape(kept)[:batch_ndims]
        flat = tf.reshape(kept, [-1, *kept.shape[batch_ndims:]])
        parameters = self._conditioner(flat, self._context)
        return tuple(tf.reshape(p, tf.concat([batch, p.shape[1:]], axis=0)) for p in parameters)
