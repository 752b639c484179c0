"""Compiled functions: traced again when their variables are replaced, and where they are not wanted."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

__all__ = ["Traces", "any_rows", "many_models", "without_compiling"]


class Traces:
    """The compiled functions of a model.

    A `tf.function` that was traced keeps reading the same variables. If a layer is replaced or gets more
    variables (LoRA), the model must be traced again.
    """

    def __init__(self):
        self._variables: list = []
        self._functions: dict[str, Callable] = {}

    def get(self, name: str, function: Callable, variables: Sequence) -> Callable:
        """The compiled function of this name, new if the variables are not the same as in the last call.

        Args:
          name: name of the function.
          function: the function to compile.
          variables: all variables that it may read.
        """
        same = len(variables) == len(self._variables) and all(
            new is old for new, old in zip(variables, self._variables, strict=True)
        )
        if not same:
            self._variables, self._functions = list(variables), {}
        if name not in self._functions:
            # TensorFlow warns of many traces of the same code. A `partial` object is counted for itself, so
            # models do not count for each other.
            self._functions[name] = tf.function(
                functools.partial(function), reduce_retracing=True, autograph=False
            )
        return self._functions[name]


def any_rows(column: tf.Tensor | None) -> tf.TensorSpec | None:
    """The type of a column [n, ...] for any n.

    `function.get_concrete_function(any_rows(column))` before the first call traces a function once, and not
    for each number of rows.

    Example:
      >>> any_rows(tf.zeros([5, 2]))
      TensorSpec(shape=(None, 2), dtype=tf.float32, name=None)
    """
    return None if column is None else tf.TensorSpec([None, *column.shape[1:]], column.dtype)


@contextlib.contextmanager
def many_models() -> Iterator[None]:
    """Keep TensorFlow from warning of many traces of the same code: here each is another model's.

    Keras trains and predicts by the same code for all models, and TensorFlow counts them together.
    """

    def other(record):
        return "triggered tf.function retracing" not in record.getMessage()

    logger = tf.get_logger()
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


@contextlib.contextmanager
def without_compiling() -> Iterator[None]:
    """Run TensorFlow's functions operation by operation: to compile them for one call takes longer."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
