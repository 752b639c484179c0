"""Ctrl-C, and errors where nobody can catch them, in a command."""

import signal
import time

import pytest

from tfp_realnvp import cli
from tfp_realnvp.cli import questions


@pytest.mark.parametrize("early", [False, True])
def test_ctrl_c_in_a_destructor_is_not_ignored(monkeypatch, capsys, early):
    """Also if it comes again before Python is done with ignoring it."""
    set_timer, calls = signal.setitimer, []

    def fire_at_once(which, seconds):
        calls.append(seconds)
        if len(calls) == 1 and early:
            signal.raise_signal(signal.SIGALRM)
        else:
            set_timer(which, seconds)

    class Dying:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    def score(*arguments, **options):
        Dying()
        time.sleep(60)

    monkeypatch.setattr(signal, "setitimer", fire_at_once)
    monkeypatch.setattr(questions, "score", score)
    with pytest.raises(SystemExit) as end:
        cli.main(["score", "run"])
    assert end.value.code == 130 and capsys.readouterr().err == ""
    assert sum(seconds > 0 for seconds in calls) == 1 + early


def test_ctrl_c_that_native_code_turns_into_an_error(monkeypatch, capsys):
    def score(*arguments, **options):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise SystemError("bad argument to internal function") from None

    monkeypatch.setattr(questions, "score", score)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as end:
        cli.main(["score", "run"])
    assert end.value.code == 130 and capsys.readouterr().err == ""
    assert signal.getsignal(signal.SIGINT) is before


def test_errors_in_destructors_are_shown_with_debug_alone(monkeypatch, capsys):
    class HalfBuilt:
        def __init__(self):
            raise KeyboardInterrupt

        def __del__(self):
            print(self.name)

    monkeypatch.setattr(questions, "score", lambda *arguments, **options: HalfBuilt())
    for debug, error in ([], ""), (["--debug"], "no attribute 'name'"):
        with pytest.raises(SystemExit) as end:
            cli.main(["score", "run", *debug])
        printed = capsys.readouterr().err
        assert end.value.code == 130 and error in printed and bool(printed) == bool(debug)
