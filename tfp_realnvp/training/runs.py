"""Runs: a new one from a configuration, and the rest of one that was interrupted."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

import keras
import numpy as np

from tfp_realnvp import hardware
from tfp_realnvp.flows import BY_NAME, ImageFlow, missing
from tfp_realnvp.hardware import workers
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.images import RunImages, load_images
from tfp_realnvp.training.loop import TrainingLoop
from tfp_realnvp.training.run_folder import RunFolder

__all__ = ["build_flow", "resume", "train"]

VISIBLE_SECONDS = 30.0  # for a file to be seen by another machine
PACKAGES = ("tfp-realnvp", "tensorflow", "keras", "tensorflow-probability", "numpy")

OnEpoch = Callable[[dict[str, float]], bool | None]


def _say(message: str) -> None:
    if workers.is_chief():
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

    Connected workers (`hardware.connect`) all call it with the same arguments, and train together. The chief
    writes the folder, and all must see it.

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
      hardware.WorkerLostError: another worker is gone; `resume` goes on.
      ValueError, OSError: the data set cannot be had, the folder not be written, or workers differ in what they
        were asked, in their images or in the versions of packages.

    Example:
      End a run that is far from a score known to be possible:

          def hopeless(row):
              return row["epoch"] >= 5 and row["val_bits_per_dim"] > 1.5

          training.train(config, "runs/trial", on_epoch=hopeless, score_test=False)
    """
    started = time.monotonic() if started is None else started
    run = RunFolder(run_dir)
    free = functools.partial(run.check_free, overwrite=overwrite)
    with _prepared(config, run, free, checkpoint_every) as (resolved, images):
        logs = _tensorboard(run) if tensorboard else []
        flow = build_flow(resolved, images)
        loop = TrainingLoop(
            resolved,
            run,
            images,
            flow,
            started=started,
            score_test=score_test,
            say=say,
            show_epochs=show_epochs,
            checkpoint_every=checkpoint_every,
        )
        if workers.is_chief():
            run.clear()
            run.write_config(
                {
                    "training": dataclasses.asdict(resolved),
                    "data": {"sha256": images.checksum()},
                    "flow": {"class": type(flow).__name__, "config": flow.get_config()},
                    "versions": _versions(),
                    "device": hardware.name(),
                }
            )
        try:
            _check_shared(run)
            return loop.run_to_end(callbacks=[*logs, *callbacks], on_epoch=on_epoch)
        except Exception:
            if workers.is_chief() and not run.has_result():
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
      hardware.WorkerLostError: as `train`.
      ValueError: the run is finished or its time is used up, it has no state to go on from, its images have
        changed, or the folder is damaged, an export or of another version.
    """
    started = time.monotonic() if started is None else started
    run = RunFolder(run_dir)
    with workers.together("reading the run folder"):
        content = run.read_config()
        config = TrainingConfig.from_json(content)
    if time_limit is not None:
        limit = None if math.isinf(time_limit) else time_limit
        config = dataclasses.replace(config, time_limit=limit)
    with _prepared(config, run, run.check_can_go_on, checkpoint_every) as (config, images):
        logs = _tensorboard(run) if tensorboard else []
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


@contextlib.contextmanager
def _prepared(
    config: TrainingConfig,
    run: RunFolder,
    check_folder: Callable[[], None],
    checkpoint_every: float | None,
) -> Iterator[tuple[TrainingConfig, RunImages]]:
    """The resolved configuration and its images, with the folder locked; all workers have the same."""
    with contextlib.ExitStack() as stack:
        with workers.together("its preparations"):
            if workers.is_chief():
                stack.enter_context(run.locked())
                check_folder()
            images = load_images(config)
            config = config.resolved(len(images.train))
        if workers.connected():
            options = dataclasses.asdict(config) | {"checkpoint_every": checkpoint_every}
            del options["manual_dir"]  # machines may have the same files in different places
            workers.check_agreement(
                {"options": options, "images": images.checksum(), "versions": _versions()}
            )
        yield config, images


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in PACKAGES} | {
        "python": platform.python_version()
    }


def _check_shared(run: RunFolder) -> None:
    """Make sure that all workers see the folder of the chief: an interrupted run goes on from there."""
    if not workers.connected():
        return
    of_chief = workers.of_chief(_digest(run.config))
    end = time.monotonic() + VISIBLE_SECONDS
    while (unseen := np.any(_digest(run.config) != of_chief)) and time.monotonic() < end:
        time.sleep(0.1)
    blind = np.flatnonzero(workers.gather([unseen]))
    if len(blind):
        raise ValueError(
            f"`run_dir` {run.path} must be a folder that all workers share: worker "
            f"{', '.join(map(str, blind))} does not see what the chief wrote there."
        )


def _digest(path: Path) -> np.ndarray:
    """Of a file, which need not be there: uint8 [32]."""
    content = path.read_bytes() if path.is_file() else b""
    return np.frombuffer(hashlib.sha256(content).digest(), np.uint8)


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
    first = images.train.images[: flow.adapt_images]
    if config.fill:
        masks = missing.random_masks(len(first), images.image_shape, seed=[config.seed, 0])
        first = missing.hide(first, masks)
    flow.adapt(first)
    if workers.connected():  # machines may round differently
        flow.set_weights([workers.of_chief(weight) for weight in flow.get_weights()])
    return flow


def _new_flow(config: TrainingConfig, images: RunImages) -> ImageFlow:
    return BY_NAME[config.flow](
        images.image_shape,
        **config.flow_options(),
        levels=images.levels,
        components=config.components,
        separation=config.separation,
        labels=np.unique(images.train.labels).tolist() if config.conditional else (),
        context_shape=missing.context_shape(images.image_shape) if config.fill else None,
        dequantization=config.dequantization,
        seed=config.seed,
        dtype=config.precision,
    )


def _tensorboard(run: RunFolder) -> list[keras.callbacks.Callback]:
    if not workers.is_chief():
        return []
    if importlib.util.find_spec("tensorboard") is None:
        raise ModuleNotFoundError(
            "logs for TensorBoard need the package tensorboard: pip install -e '.[tensorboard]'."
        )
    return [keras.callbacks.TensorBoard(str(run.tensorboard))]
