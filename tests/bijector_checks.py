"""Checks that every bijector must pass."""

import numpy as np
import tensorflow as tf

BATCHES = ((), (3,), (2, 3))


def check_round_trip(bijector, x, tolerance):
    """There and back is the identity, both ways round. `tf.identity` hides the input from TFP's cache."""
    y = bijector.forward(x)
    np.testing.assert_allclose(bijector.inverse(tf.identity(y)), x, atol=tolerance, rtol=tolerance)
    z = bijector.inverse(x_like_y := tf.identity(y))
    np.testing.assert_allclose(
        bijector.forward(tf.identity(z)), x_like_y, atol=tolerance, rtol=tolerance
    )


def check_log_dets_cancel(bijector, x, event_ndims, tolerance):
    y = tf.identity(bijector.forward(x))
    forward = bijector.forward_log_det_jacobian(tf.identity(x), event_ndims=event_ndims)
    inverse = bijector.inverse_log_det_jacobian(y, event_ndims=event_ndims)
    np.testing.assert_allclose(forward + inverse, np.zeros_like(forward), atol=tolerance)


def check_log_det_against_autodiff(bijector, x, event_ndims, tolerance):
    """The log-determinant of each event's Jacobian, column by column."""
    size = int(np.prod(x.shape[-event_ndims:]))
    x = tf.identity(x)  # TFP's cache would return what it computed outside of the tape
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = bijector.forward(x)
    jacobians = tape.batch_jacobian(y, x).numpy().reshape(-1, size, size)
    expected = np.linalg.slogdet(jacobians)[1]
    received = bijector.forward_log_det_jacobian(tf.identity(x), event_ndims=event_ndims)
    np.testing.assert_allclose(received, expected, atol=tolerance)


def check_shapes(bijector, x, event_ndims):
    """Any batch shape goes through, and the log-determinant has it."""
    event = tf.reshape(x, [-1, *x.shape[-event_ndims:]])[0]
    for batch in BATCHES:
        values = tf.broadcast_to(event, [*batch, *event.shape])
        y = bijector.forward(values)
        assert y.shape == batch + bijector.forward_event_shape(event.shape)
        assert bijector.inverse(tf.identity(y)).shape == values.shape
        log_det = bijector.forward_log_det_jacobian(values, event_ndims=event_ndims)
        assert tf.broadcast_static_shape(log_det.shape, tf.TensorShape(batch)) == batch


def check_modes_agree(bijector, x, event_ndims, tolerance):
    """Eager, graph and XLA compute the same."""

    def both(values):
        return (
            bijector.forward(values),
            bijector.forward_log_det_jacobian(values, event_ndims=event_ndims),
        )

    eager = both(tf.identity(x))
    for compiled in (tf.function(both), tf.function(both, jit_compile=True)):
        for received, expected in zip(compiled(x), eager, strict=True):
            np.testing.assert_allclose(received, expected, atol=tolerance, rtol=tolerance)


def check_no_leak(bijector, x):
    """A NaN in one event stays in that event."""
    poisoned = tf.concat([x[:1] * np.nan, x[1:]], axis=0)
    assert np.all(np.isfinite(bijector.forward(poisoned)[1:]))
