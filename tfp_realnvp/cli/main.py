"""The program: its commands, and how errors are shown.

TensorFlow takes seconds to import, and --help and argument errors should not wait for it. So the modules that
import it are imported where a command needs them.
"""

from __future__ import annotations

import functools
import re
import signal
import sys
import time
from types import FrameType

import typer

from tfp_realnvp.cli.anomalies import anomalies
from tfp_realnvp.cli.classify import classify
from tfp_realnvp.cli.demo import demo
from tfp_realnvp.cli.diagnose import diagnose
from tfp_realnvp.cli.experiment import experiment
from tfp_realnvp.cli.export import export
from tfp_realnvp.cli.fill import fill
from tfp_realnvp.cli.information import information
from tfp_realnvp.cli.morph import morph
from tfp_realnvp.cli.pipeline import pipeline
from tfp_realnvp.cli.sample import sample
from tfp_realnvp.cli.score import score
from tfp_realnvp.cli.train import train
from tfp_realnvp.cli.transfer import transfer
from tfp_realnvp.cli.tune import tune

__all__ = ["main"]

SOON = 0.001  # seconds

app = typer.Typer(
    name="tfp-realnvp",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn the distribution of a set of images; draw from it, score with it, export it.",
    epilog="With --debug, any command shows where an error comes from.",
)
for command in (
    train,
    sample,
    score,
    transfer,
    morph,
    fill,
    classify,
    anomalies,
    diagnose,
    information,
    export,
    tune,
    demo,
):
    app.command()(command)
app.add_typer(experiment)
app.add_typer(pipeline)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an error is one line and exit status 2; Ctrl-C is exit status 130."""
    started = time.monotonic()  # commands find it in `context.obj`
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_after_destructor, debug=debug)
    interrupt = NoteInterrupt()
    try:
        with interrupt:
            status = app(arguments, standalone_mode=False, obj=started) or 0
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        if debug:
            raise
        message = _message(error)
        if message and not interrupt.came:
            print("Error:", with_options(message, arguments), file=sys.stderr)
        status = 130 if interrupt.came else 2
    finally:
        sys.unraisablehook = hook
    sys.exit(status)


class NoteInterrupt:
    """Notes that Ctrl-C came: native code may turn the KeyboardInterrupt into an error of its own."""

    came = False

    def __enter__(self):
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is signal.default_int_handler:  # not ignored, as by `nohup`
            signal.signal(signal.SIGINT, self._note)
        self._alarm = signal.signal(signal.SIGALRM, _interrupt_again)
        return self

    def __exit__(self, *error):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._alarm)
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame):
        self.came = True
        raise KeyboardInterrupt


def _after_destructor(ignored, *, debug: bool) -> None:
    """Handle what Python ignores: a Ctrl-C in a destructor, or the error of one, as of an interrupted object.

    TensorFlow's tracing runs many destructors. A Ctrl-C comes again soon after; an error is shown to debug.
    """
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, SOON)
    elif debug:
        sys.__unraisablehook__(ignored)


def _interrupt_again(number: int, frame: FrameType | None) -> None:
    """Ctrl-C once more, unless Python would ignore it once more."""
    while frame is not None:
        if frame.f_code is _after_destructor.__code__:
            signal.setitimer(signal.ITIMER_REAL, SOON)
            return
        frame = frame.f_back
    signal.raise_signal(signal.SIGINT)


def _message(error: Exception) -> str:
    """One line; nothing for a request for help, which has been printed."""
    text = str(error) or type(error).__name__
    if hasattr(error, "format_message"):  # an error of the command line itself
        text = error.format_message()
    return " ".join(text.split())


def with_options(message: str, arguments: list[str]) -> str:
    """The message with options of the command, such as --run-dir, for the names of Python's arguments.

    Example:
      >>> with_options("choose another `run_dir` or `colour`.", ["train", "--epochs", "3"])
      'choose another --run-dir or `colour`.'
    """
    command = typer.main.get_command(app)
    for word in arguments:
        command = getattr(command, "commands", {}).get(word, command)
    options = {
        parameter.name: parameter.opts[0]
        for parameter in command.params
        if parameter.param_type_name == "option"
    }
    return re.sub(r"`(\w+)`", lambda name: options.get(name[1], name[0]), message)
