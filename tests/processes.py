"""Commands of the program in processes of their own, which tests may kill.

A process is a copy of one that has imported everything and started nothing: the imports take seconds.
"""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tfp_realnvp.cli.main", "tfp_realnvp.cli.commands"])
CHANGES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")  # what Python calls them


class Command:
    """A command in a process that runs.

    Args:
      arguments: of the command.
      folder: everything that it writes is below it. What it prints is in the files stdout and stderr there.
      number: of a signal which the process gets just before a change below the folder.
      change: which change that is, from 1.

    Attributes:
      errors: what it has printed to standard error, once it has ended.
      status: its exit status once it has ended, or minus the signal that ended it.
      changes: so many changes it has begun.
      seconds: it has run for so long.
    """

    def __init__(self, arguments, folder: Path, *, number: int = 0, change: int = 0):
        self._changes = CONTEXT.RawValue("i", 0)
        self._errors = folder / "stderr"
        self._process = CONTEXT.Process(
            target=_run, args=([*map(str, arguments)], folder, number, change, self._changes)
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

    @property
    def status(self) -> int:
        return self._process.exitcode

    @property
    def changes(self) -> int:
        return self._changes.value

    @property
    def errors(self) -> str:
        return self._errors.read_text() if self._errors.exists() else ""


def _run(arguments, folder, number, change, changes):
    from tfp_realnvp import cli
    from tfp_realnvp.training import loop

    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
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
