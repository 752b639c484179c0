"""The command line: `tfp-realnvp`, `python -m tfp_realnvp` and `train.py`."""

from tfp_realnvp.cli.main import main

__all__ = ["main"]
