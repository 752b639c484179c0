"""Commands of the program in processes of their own, which tests may kill.

A process is a copy of one that has imported everything and started nothing: the imports take seconds.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import weakref
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tfp_realnvp.cli.main", "tfp_realnvp.cli.commands"])
CHANGES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")  # what Python calls them


class Command:
    """A command in a process that runs.

    Args:
      arguments: of the command.
      folder: everything that it writes is below it. What it prints is in the files stdout and stderr there.
        None: a temporary folder for what it prints, which is removed with this object.
      environment: variables of the process beside those of this one.
      cpus: so many devices TensorFlow makes of the CPU.
      number: of a signal which the process gets just before a change below the folder.
      change: which change that is, from 1.

    Attributes:
      errors: what it has printed to standard error.
      output: what it has printed to standard output.
      status: its exit status once it has ended, or minus the signal that ended it.
      changes: so many changes it has begun.
      seconds: it has run for so long.
    """

    def __init__(
        self,
        arguments,
        folder: Path | None = None,
        *,
        environment: dict[str, str] | None = None,
        cpus: int = 1,
        number: int = 0,
        change: int = 0,
    ):
        if folder is None:
            folder = Path(tempfile.mkdtemp())
            weakref.finalize(self, shutil.rmtree, folder)
        self._changes = CONTEXT.RawValue("i", 0)
        self._folder = folder
        words = [*map(str, arguments)]
        self._process = CONTEXT.Process(
            target=_run,
            args=(words, folder, environment or {}, cpus, number, change, self._changes),
        )
        self._process.start()
        self._started = time.monotonic()

    def wait(self, seconds: float = 300) -> bool:
        """Wait for its end, but not for longer; whether it has ended."""
        self._process.join(seconds)
        self.seconds = time.monotonic() - self._started
        return self._process.exitcode is not None

    def signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it now, if it has not ended."""
        self._process.kill()
        self._process.join()

    @property
    def status(self) -> int:
        return self._process.exitcode

    @property
    def changes(self) -> int:
        return self._changes.value

    @property
    def errors(self) -> str:
        return self._read("stderr")

    @property
    def output(self) -> str:
        return self._read("stdout")

    def _read(self, name):
        file = self._folder / name
        return file.read_text() if file.exists() else ""


def wait_for_state(run: Path, after: float = 0.0) -> None:
    """Until a run has written a state, after this time."""
    end = time.monotonic() + 120
    while not any(path.stat().st_mtime > after for path in (run / "state").glob("*/SHA256SUMS")):
        assert time.monotonic() < end, "no state was written"
        time.sleep(0.1)


def _run(arguments, folder, environment, cpus, number, change, changes):
    import tensorflow as tf

    from tfp_realnvp import cli
    from tfp_realnvp.training import loop

    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    os.environ.update(environment)
    if cpus > 1:
        [cpu, *_] = tf.config.list_physical_devices("CPU")
        devices = [tf.config.LogicalDeviceConfiguration()] * cpus
        tf.config.set_logical_device_configuration(cpu, devices)
    loop.CHECKPOINT_SECONDS = 0  # a state after every call from Python

    def count(event, details):
        if event in CHANGES and _is_change(event, details, str(folder)):
            changes.value += 1
            if changes.value == change:
                os.kill(os.getpid(), number)

    sys.addaudithook(count)
    cli.main(arguments)


def _is_change(event, details, folder):
    if event == "open" and not details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return False
    in_open_folder = event in ("os.remove", "os.rmdir") and details[1] != -1  # `shutil.rmtree`
    return in_open_folder or str(details[0]).startswith(folder)
