"""`python -m tfp_realnvp` is the command `tfp-realnvp`."""

from tfp_realnvp.cli import main

if __name__ == "__main__":
    main()
