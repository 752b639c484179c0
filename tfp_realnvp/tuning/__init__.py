"""A search for the options with which a flow learns best, on Optuna."""

try:
    import optuna  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "a search needs the extra `tune`: pip install -e '.[tune]'."
    ) from error

from tfp_realnvp.tuning.search import tune

__all__ = ["tune"]
