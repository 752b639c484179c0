"""The program: its commands, and how errors are shown.

The modules that import TensorFlow are imported where a command needs them: it takes seconds, and --help and
argument errors should not wait for it.
"""

from __future__ import annotations

import sys

import typer

from tfp_realnvp.cli.train import train
from tfp_realnvp.cli.use import demo, export, morph, sample, score, transfer

__all__ = ["main"]

app = typer.Typer(
    name="tfp-realnvp",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn the distribution of a set of images; draw from it, score with it, export it.",
    epilog="With --debug, any command shows where an error comes from.",
)
for command in (train, sample, score, transfer, morph, export, demo):
    app.command()(command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an error is one line and exit status 2, an interruption exit status 130."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        status = app(arguments, standalone_mode=False) or 0
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        if debug:
            raise
        if message := _message(error):
            print("Error:", message, file=sys.stderr)
        status = 2
    sys.exit(status)


def _message(error: Exception) -> str:
    """One line; nothing for a request for help, which has been printed."""
    text = str(error) or type(error).__name__
    if hasattr(error, "format_message"):  # an error of the command line itself
        text = error.format_message()
    return " ".join(text.split())
