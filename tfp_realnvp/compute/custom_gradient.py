"""Functions with a gradient of their own, which a graph does not keep for ever."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.framework.func_graph import FuncGraph

__all__ = ["custom_gradient"]


def custom_gradient(function: Callable) -> Callable:
    """As `tf.custom_gradient`, but the gradient of a graph is freed with the graph.

    TensorFlow has a table of the gradients that were made in graphs, by name, from which nothing is taken away.
    A gradient holds tensors, which hold their graph and its variables: none of them would ever be freed. Here
    the table has a weak reference, and the graph itself has the gradient. (The table is private: setup.cfg
    bounds TensorFlow's version, and a test looks for graphs that are left.)

    Args:
      function: as that of `tf.custom_gradient`, of tensors; its results are tensors.
    """
    inner = tf.custom_gradient(function)

    @functools.wraps(function)
    def call(*tensors):
        result = inner(*tensors)
        if not tf.executing_eagerly():
            _keep_in_graph(tf.nest.flatten(result)[0].op)
        return result

    return call


def _keep_in_graph(operation: tf.Operation) -> None:
    name = operation.get_attr("_gradient_op_type").decode()
    entry = ops.gradient_registry._registry[name]
    gradient = entry["type"]
    entry["type"] = _weak(gradient)
    graphs = [operation.graph]
    while isinstance(graphs[-1], FuncGraph):
        graphs.append(graphs[-1].outer_graph)
    # also in those around it, since TensorFlow may make a loop's graph anew; the last one is never freed
    for graph in graphs[:-1] or graphs:
        graph._custom_gradients = [*getattr(graph, "_custom_gradients", ()), gradient]


def _weak(gradient: Callable) -> Callable:
    reference = weakref.ref(gradient)

    def call(operation, *upstream):
        alive = reference()
        if alive is None:
            raise RuntimeError("the gradient of a graph must be taken while the graph is there.")
        return alive(operation, *upstream)

    return call
