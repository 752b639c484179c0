"""`python train.py ...` is the command `tfp-realnvp train ...`."""

import sys

from tfp_realnvp.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
