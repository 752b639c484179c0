"""What was compiled for a flow goes with it: a process may make many flows, one after the other."""

import gc

import pytest
import tensorflow as tf
from conftest import random_images
from tensorflow.python.framework.func_graph import FuncGraph

from tfp_realnvp.compute.custom_gradient import custom_gradient
from tfp_realnvp.optimizers import Adam


def graphs():
    gc.collect()
    return sum(type(thing) is FuncGraph for thing in gc.get_objects())


def use(flow):
    images = random_images(8, flow.image_shape)
    flow.adapt(images)
    flow.compile(Adam(1e-3, global_clipnorm=1.0))
    flow.fit(images, batch_size=8, verbose=0)
    flow.log_prob(images)
    flow.sample(2)


@pytest.mark.slow
def test_of_a_flow(small):
    use(small())  # some functions are compiled once for all flows
    before = graphs()
    flow = small()
    use(flow)
    assert graphs() > before
    del flow
    assert graphs() == before


@custom_gradient
def twice(values):
    return 2 * values, lambda upstream: 5 * upstream


def test_of_a_loop_in_a_function():
    """Its gradient is another loop, which TensorFlow makes from the first one."""

    @tf.function(autograph=False)
    def slope(value):
        with tf.GradientTape() as tape:
            tape.watch(value)
            _, result = tf.while_loop(
                lambda number, _: number < 3,
                lambda number, result: (number + 1, twice(result)),
                [0, value],
            )
        return result, tape.gradient(result, value)

    assert [float(value) for value in slope(tf.constant(1.0))] == [8.0, 125.0]
    assert float(slope(tf.constant(2.0))[0]) == 16.0


def test_of_a_function_that_was_traced_within_another():
    """Its gradient is there as long as it is."""
    inner = tf.function(twice, autograph=False)
    outer = tf.function(inner, autograph=False)
    outer(tf.constant(1.0))
    del outer
    gc.collect()
    values = tf.constant(1.0)
    with tf.GradientTape() as tape:
        tape.watch(values)
        result = inner(values)
    assert float(tape.gradient(result, values)) == 5.0
