"""Ends a run at a signal, between two steps, so that its state can be written."""

from __future__ import annotations

import signal
from types import FrameType

import keras

from tfp_realnvp.hardware import workers

__all__ = ["EndAtSignal", "EndedBySignal"]

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class EndedBySignal(KeyboardInterrupt):
    """A signal ended the run.

    Args:
      number: of the signal.
      between_steps: whether it is known that no training step was under way.
    """

    def __init__(self, number: int, *, between_steps: bool = False):
        super().__init__()
        self.number = number
        self.between_steps = between_steps


class EndAtSignal(keras.callbacks.Callback):
    """Ends the training after the step in which Ctrl-C, SIGTERM or SIGHUP came.

    Python raises a KeyboardInterrupt wherever it is, and where that is a destructor, as often in TensorFlow's
    tracing, Python ignores it. Therefore a signal is only noted while a model trains. A second Ctrl-C, and a
    signal at any other time, is an exception at once. Signals that are ignored, by `nohup` for example, stay
    ignored. A signal to one of several workers ends the training of all.

    Raises:
      EndedBySignal: a signal came.

    Example:
      `with EndAtSignal() as end: model.fit(images, callbacks=[end])`
    """

    def __init__(self):
        super().__init__()
        self._received: int | None = None
        self._fitting = False

    def __enter__(self) -> EndAtSignal:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in self._before.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, self._note)
        return self

    def __exit__(self, kind, error, traceback) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._received is not None and isinstance(error, Exception):
            # TensorFlow's native code turns the exception into an error of its own
            raise EndedBySignal(self._received) from error

    def on_train_begin(self, logs=None):
        """From now on, signals are noted."""
        self._check()
        self._fitting = True

    def on_train_batch_end(self, batch, logs=None):
        """End the training if a signal came."""
        self._check(between_steps=True)

    def on_epoch_end(self, epoch, logs=None):
        """End the training if a signal came."""
        self._check()

    def on_train_end(self, logs=None):
        """From now on, signals are exceptions."""
        self._fitting = False
        self._check()

    def _note(self, number: int, frame: FrameType | None):
        again = self._received is not None
        self._received = self._received or number
        if (again and number == signal.SIGINT) or not (self._fitting or again):
            raise EndedBySignal(self._received)

    def _check(self, *, between_steps=False):
        [received] = workers.largest([self._received or 0])
        if received:
            raise EndedBySignal(int(received), between_steps=between_steps)
