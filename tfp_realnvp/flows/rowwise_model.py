"""How the methods of flows compute any number of images: in blocks, in shards, on several devices."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfp_realnvp.compute.blocks import in_blocks, rows_of_block
from tfp_realnvp.compute.sharding import at_least_one_row, in_shards, on_devices
from tfp_realnvp.compute.traces import Traces, any_rows
from tfp_realnvp.flows.density_model import DensityModel
from tfp_realnvp.flows.told import Told

__all__ = ["RowwiseModel", "with_kernels"]


class RowwiseModel(DensityModel):
    """A density model whose methods treat each image by itself.

    In eager mode a method computes its images in blocks of a bounded size, each of them on all devices of the
    strategy in whose scope the model was made, and in shards there. In a `tf.function` of the caller's it
    computes them all at once: call it there with batches.

    Attributes:
      told: what the model is told of each image; set by subclasses, as `image_shape` is.
      conditioners: the layers whose kernels all shards share; none if there is no such attribute.
    """

    told: Told

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._traces = Traces()

    @property
    def _conditioners(self) -> Sequence[Callable]:
        return getattr(self, "conditioners", ())

    def _conditioners_here(self) -> Sequence[Callable]:
        """The conditioners; for a `tf.function` as functions too: a SavedModel holds each of them once."""
        if tf.executing_eagerly():
            return self._conditioners
        compiled = [
            self._compiled(conditioner, f"conditioner_{number}")
            for number, conditioner in enumerate(self._conditioners)
        ]
        kernels = self._compiled(functools.partial(_read_kernels, self._conditioners), "kernels")()
        return _with_kernels(compiled, kernels)

    def _rows(self, events, labels, context):
        """Events, labels and context with one batch axis, and a function that restores the axes in a result."""
        batch = events.shape[:-3]
        self.told.check_batch(labels, context, batch)
        if batch.rank == 1:
            return events, labels, context, lambda result: result
        if labels is not None:
            labels = tf.reshape(labels, [-1])
        if context is not None:
            context = tf.reshape(context, [-1, *(self.told.context_shape or ())])

        def restore(result):
            return tf.reshape(result, tf.concat([axes, tf.shape(result)[1:]], axis=0))

        axes = tf.shape(events)[:-3]
        return tf.reshape(events, [-1, *self.image_shape]), labels, context, restore

    def _by_rows(self, method, events, labels, context, **others):
        """Call `method(conditioners, events, labels, encoded context, ...)`, which treats each row by itself.

        In eager mode it is compiled and computed in blocks, and each block in shards. In a `tf.function` of the
        caller's it is not divided: a SavedModel must not depend on the machine that wrote it.
        """
        if not tf.executing_eagerly():

            def undivided(events, labels, context):
                encoded = self.told.encode(context)
                return method(self._conditioners_here(), events, labels, encoded, **others)

            return at_least_one_row(undivided, events, labels, context)

        def sharded(events, labels, context, **others):
            def on_one_device(events, labels, context):
                function = functools.partial(method, **others)
                encoded = self.told.encode(context)
                return self._in_shards(function, tf.shape(events)[0], events, labels, encoded)

            return self._on_devices(on_one_device, tf.shape(events)[0], events, labels, context)

        compiled = self._compiled(sharded, method.__name__)

        def block(start, end):
            part = [
                column if column is None else column[start:end]
                for column in (events, labels, context)
            ]
            compiled.get_concrete_function(*map(any_rows, part), **others)
            return at_least_one_row(functools.partial(compiled, **others), *part)

        return in_blocks(block, len(events), largest=rows_of_block(self.image_shape))

    def _compiled(self, function, name=None):
        variables = list(self.variables)
        # Keras does not track a layer that replaces one in a list
        for conditioner in self._conditioners:
            variables += getattr(conditioner, "variables", ())
        return self._traces.get(name or function.__name__, function, variables)

    def _on_devices(self, function, rows, *columns):
        """`function(*columns)` on all devices of the strategy in whose scope the model was made."""
        if tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context():
            return function(*columns)  # on one of them already
        return on_devices(self.distribute_strategy, function, rows, *columns)

    def _in_shards(self, function, rows, *columns):
        """`function(conditioners, *columns)` in shards, which share the kernels of the conditioners."""
        conditioners = with_kernels(self._conditioners)
        return in_shards(functools.partial(function, conditioners), rows, *columns)


def with_kernels(conditioners: Sequence[Callable]) -> list[Callable]:
    """Conditioners whose kernels are read now, and not in each call; some may have none, or have read them."""
    return _with_kernels(conditioners, _read_kernels(conditioners))


def _with_kernels(conditioners, kernels):
    return [
        conditioner if of_one is None else functools.partial(conditioner, kernels=of_one)
        for conditioner, of_one in zip(conditioners, kernels, strict=True)
    ]


def _read_kernels(conditioners) -> list:
    """The kernels of each, None for one that has none to be read."""
    together = [each for each in conditioners if hasattr(each, "read_kernels_of")]
    read = iter(together[0].read_kernels_of(together) if together else ())

    def kernels_of(conditioner):
        if hasattr(conditioner, "read_kernels_of"):
            return next(read)
        return conditioner.read_kernels() if hasattr(conditioner, "read_kernels") else None

    return list(map(kernels_of, conditioners))
