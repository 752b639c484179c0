"""Runs: a new one from a configuration, and the rest of one that was interrupted."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import keras
import numpy as np

from tfp_realnvp import hardware
from tfp_realnvp.flows import BY_NAME, ImageFlow, missing
from tfp_realnvp.flows.density_model import ADAPT_IMAGES
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.images import RunImages, load_images
from tfp_realnvp.training.loop import TrainingLoop
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["build_flow", "resume", "train"]

PACKAGES = ("tfp-realnvp", "tensorflow", "keras", "tensorflow-probability", "numpy")

OnEpoch = Callable[[dict[str, float]], bool | None]


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _no_report(row: dict[str, float]) -> None:
    pass


def train(
    config: TrainingConfig,
    run_dir: str | Path,
    *,
    overwrite: bool = False,
    tensorboard: bool = False,
    score_test: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    on_epoch: OnEpoch = _no_report,
    started: float | None = None,
    say: Callable[[str], None] = _say,
    show_epochs: bool = True,
    checkpoint_every: float | None = None,
) -> dict:
    """Train a flow and write its run folder.

    Args:
      config: what to train on what.
      run_dir: the run folder; it must be empty or not exist, unless `overwrite`.
      overwrite: replace what an earlier run left there.
      tensorboard: write logs for TensorBoard, too.
      score_test: score the test split, too. With False, which suits a search that chooses between many runs,
        `test` and `held_out` are None in the metrics.
      callbacks: Keras callbacks, called after those of the run. Their model is the flow in training; the logs
        of an epoch have `val_bits_per_dim`, the score of the averaged weights.
      on_epoch: called after each epoch with its row of history.csv; if it returns True, the run ends there.
      started: `time.monotonic()` when the time limit began to run; now by default.
      say: called with messages for the user.
      show_epochs: print a line for each epoch; on a terminal there is a bar, too.
      checkpoint_every: seconds between two writings of what `resume` needs, 0 or more; None means 60. A run
        that is killed loses what it did since.

    Returns:
      The content of metrics.json. `ended_by` is "the last epoch", "early stopping", "the time limit",
      "the caller" (by `on_epoch`) or "a callback" (one of `callbacks`).

    Raises:
      FileExistsError: the folder is not empty, or in use.
      FloatingPointError: training diverged; the best model so far is kept.
      KeyboardInterrupt: likewise; `resume` goes on.
      ValueError, OSError: the data set cannot be had, or the folder not be written.

    Example:
      End a run that is far from a score known to be possible:

          def hopeless(row):
              return row["epoch"] >= 5 and row["val_bits_per_dim"] > 1.5

          training.train(config, "runs/trial", on_epoch=hopeless, score_test=False)
    """
    started = time.monotonic() if started is None else started
    run = RunFolder(run_dir)
    with run.locked():
        run.check_free(overwrite=overwrite)
        logs = _tensorboard(run) if tensorboard else []
        images = load_images(config)
        config = config.resolved(len(images.train))
        flow = build_flow(config, images)
        loop = TrainingLoop(
            config,
            run,
            images,
            flow,
            started=started,
            score_test=score_test,
            say=say,
            show_epochs=show_epochs,
            checkpoint_every=checkpoint_every,
        )
        run.clear()
        run.write_config(
            {
                "training": dataclasses.asdict(config),
                "data": {"sha256": images.checksum()},
                "flow": {"class": type(flow).__name__, "config": flow.get_config()},
                "versions": {name: metadata.version(name) for name in PACKAGES}
                | {"python": platform.python_version()},
                "device": hardware.name(),
            }
        )
        try:
            return loop.run_to_end(callbacks=[*logs, *callbacks], on_epoch=on_epoch)
        except Exception:
            if not run.has_result():
                run.clear()  # it would be in the way of a corrected run
            raise


def resume(
    run_dir: str | Path,
    *,
    time_limit: float | None = None,
    tensorboard: bool = False,
    score_test: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    on_epoch: OnEpoch = _no_report,
    started: float | None = None,
    say: Callable[[str], None] = _say,
    checkpoint_every: float | None = None,
) -> dict:
    """Go on with an unfinished run, to the end where it would have come without the interruption.

    Args:
      run_dir: its run folder.
      time_limit: seconds for the whole run, what it used before included; None leaves the limit as it
        is, `math.inf` lifts it.
      tensorboard: as in `train`.
      score_test: as in `train`.
      callbacks: as in `train`.
      on_epoch: as in `train`.
      started: as in `train`.
      say: as in `train`.
      checkpoint_every: as in `train`.

    Returns:
      The content of metrics.json.

    Raises:
      FileNotFoundError: not a run folder.
      ValueError: the run is finished or its time is used up, it has no state to go on from, its images have
        changed, or the folder is damaged, an export or of another version.
    """
    started = time.monotonic() if started is None else started
    run = RunFolder(run_dir)
    content = run.read_config()
    config = TrainingConfig.from_json(content)
    run.check_can_go_on()
    if time_limit is not None:
        limit = None if math.isinf(time_limit) else time_limit
        config = dataclasses.replace(config, time_limit=limit)
    with run.locked():
        logs = _tensorboard(run) if tensorboard else []
        images = load_images(config)
        _check_images(images, content, config)
        flow = build_flow(config, images)
        loop = TrainingLoop(
            config,
            run,
            images,
            flow,
            started=started,
            score_test=score_test,
            say=say,
            checkpoint_every=checkpoint_every,
        )
        loop.go_on()
        if loop.budget.is_used_up():
            raise ValueError(
                f"the run in {run.path} has used up its time limit of {config.time_limit:.0f} s: go on with "
                "a larger `time_limit`, or without one."
            )
        return loop.run_to_end(callbacks=[*logs, *callbacks], on_epoch=on_epoch)


def _check_images(images: RunImages, content: dict, config: TrainingConfig) -> None:
    """Make sure that the images are those of the run's start, which its config.json tells since version 0.5."""
    data = content.get("data")
    if data is not None and data != {"sha256": images.checksum()}:
        raise ValueError(
            f"the training images or labels of {config.dataset} have changed since the run began: put the "
            "former ones back, or start a new run."
        )


def build_flow(config: TrainingConfig, images: RunImages) -> ImageFlow:
    """The new flow of a run, on the devices of `hardware.strategy`, adapted to its images."""
    with hardware.strategy().scope():
        flow = _new_flow(config, images)
    first = images.train.images[:ADAPT_IMAGES]
    if config.fill:
        masks = missing.random_masks(len(first), images.image_shape, seed=[config.seed, 0])
        first = missing.hide(first, masks)
    flow.adapt(first)
    return flow


def _new_flow(config: TrainingConfig, images: RunImages) -> ImageFlow:
    return BY_NAME[config.flow](
        images.image_shape,
        **config.flow_options(),
        levels=images.levels,
        labels=np.unique(images.train.labels).tolist() if config.conditional else (),
        context_shape=missing.context_shape(images.image_shape) if config.fill else None,
        dequantization=config.dequantization,
        seed=config.seed,
        dtype=config.precision,
    )


def _tensorboard(run: RunFolder) -> list[keras.callbacks.Callback]:
    if importlib.util.find_spec("tensorboard") is None:
        raise ModuleNotFoundError(
            "logs for TensorBoard need the package tensorboard: pip install -e '.[tensorboard]'."
        )
    return [keras.callbacks.TensorBoard(str(run.tensorboard))]
