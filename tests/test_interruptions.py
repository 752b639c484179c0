"""Whatever interrupts a run, nothing is lost, and the run ends where it would have ended anyway."""

import errno
import shutil
import signal

import keras
import numpy as np
import pytest
from conftest import TINY, perturb

from tfp_realnvp import training
from tfp_realnvp.training import loop, runs, state
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.images import load_images
from tfp_realnvp.training.loop import TrainingLoop
from tfp_realnvp.training.run_folder import RunFolder
from tfp_realnvp.training.signals import EndAtSignal, EndedBySignal

CONFIG = TrainingConfig(**TINY["realnvp"], hold_out=(9,), epochs=3, precision="float32")


class CtrlC(keras.callbacks.Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The metrics of a run that nothing interrupts."""
    return training.train(CONFIG, tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture(scope="module")
def interrupted_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "interrupted"
    with pytest.raises(KeyboardInterrupt):
        training.train(CONFIG, folder, callbacks=[CtrlC(epoch=3)])
    return folder


@pytest.fixture
def interrupted(interrupted_run, tmp_path):
    """A run that Ctrl-C ended seconds after its start, in its third epoch; a test may change it."""
    return RunFolder(shutil.copytree(interrupted_run, tmp_path / "run"))


def as_of_version_0_4(run):
    """Turn the state into one of version 0.4.0: weights in files of Keras."""
    before, state = sorted((run.path / "state").iterdir())
    shutil.rmtree(before)
    images = load_images(CONFIG)
    config = CONFIG.resolved(len(images.train))
    training_loop = TrainingLoop(
        config,
        run,
        images,
        runs.build_flow(config, images),
        started=0.0,
        score_test=False,
        say=print,
    )
    training_loop.go_on()
    shutil.rmtree(state)
    former = state.with_name("000002")
    former.mkdir()
    training_loop.flow.save_weights(former / "training.weights.h5")
    training_loop.average.save_weights(former / "average.weights.h5")


def same(resumed, whole):
    return all(
        resumed[part]["bits_per_dim"] == pytest.approx(whole[part]["bits_per_dim"], rel=1e-5)
        for part in ("train", "validation", "test")
    )


@pytest.mark.slow
def test_a_run_of_seconds_goes_on_where_it_was(interrupted, whole):
    said = []
    resumed = training.resume(interrupted.path, say=said.append)
    assert "from epoch 3 on" in said[0] and same(resumed, whole)
    assert [line.split(",")[0] for line in interrupted.history.read_text().split()] == [
        "epoch", "1", "2", "3"
    ]  # fmt: skip


@pytest.mark.slow
def test_a_better_model_is_never_replaced(interrupted):
    before = interrupted.load_model().get_weights()
    with pytest.raises(KeyboardInterrupt):
        training.resume(interrupted.path, callbacks=[CtrlC(epoch=3)])
    for old, new in zip(before, interrupted.load_model().get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(interrupted.read_history()) == 2


@pytest.mark.slow
def test_interrupted_twice_in_the_first_epoch(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt):
        training.train(CONFIG, tmp_path / "run", callbacks=[CtrlC(epoch=1)])
    run = RunFolder(tmp_path / "run")
    before = run.load_model().get_weights()
    with pytest.raises(KeyboardInterrupt):
        training.resume(run.path, callbacks=[CtrlC(epoch=1)])
    for old, new in zip(before, run.load_model().get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert same(training.resume(run.path), whole)


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["history.csv", "model.keras"])
def test_a_state_holds_all_that_it_needs(interrupted, whole, lost):
    (interrupted.path / lost).write_text("")
    resumed = training.resume(interrupted.path)
    assert same(resumed, whole) and resumed["epochs"] == 3
    assert [row["epoch"] for row in interrupted.read_history()] == [1, 2, 3]
    assert interrupted.load_model().image_shape == (8, 8, 1)


@pytest.mark.slow
def test_run_of_version_0_4_goes_on(interrupted, whole):
    as_of_version_0_4(interrupted)
    assert same(training.resume(interrupted.path), whole)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["empty", "cut", "missing"])
def test_run_of_version_0_4_without_its_history(interrupted, change):
    as_of_version_0_4(interrupted)
    lines = interrupted.history.read_text().splitlines(keepends=True)
    interrupted.history.write_text({"empty": "", "cut": "".join(lines[:2])}.get(change, ""))
    if change == "missing":
        interrupted.history.unlink()
    with pytest.raises(ValueError, match=r"history.csv does not have the 2 epochs.*`overwrite`"):
        training.resume(interrupted.path)


@pytest.mark.slow
def test_run_of_version_0_4_with_another_model(interrupted):
    as_of_version_0_4(interrupted)
    perturb(interrupted.load_model()).save(interrupted.model)
    with pytest.raises(ValueError, match=r"model.keras is not the best model of .*history.csv"):
        training.resume(interrupted.path)


def spoil(file, damage):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content[: len(content) // 3] if damage == "cut" else content)
    if damage == "missing":
        file.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["state.json", "SHA256SUMS", "training.npz"])
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_damaged_states_are_refused(interrupted, name, damage):
    files = list((interrupted.path / "state").glob(f"*/{name}"))
    assert len(files) == 2
    for file in files:
        spoil(file, damage)
    with pytest.raises(ValueError, match=r"state/0.* is damaged .*`overwrite`"):
        training.resume(interrupted.path)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_a_damaged_state_is_passed_over(interrupted, whole, damage):
    newest = max((interrupted.path / "state").iterdir())
    spoil(newest / "training.npz", damage)
    said = []
    assert same(training.resume(interrupted.path, say=said.append), whole)
    assert said[0].startswith(f"{newest} is damaged (") and "the state before it" in said[0]


class Stop(keras.callbacks.Callback):
    """An error after so many calls from Python, as sudden as a kill: nothing is written any more."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def on_train_batch_end(self, batch, logs=None):
        self.calls -= 1
        if not self.calls:
            raise SystemExit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flow", "augment"),
    [
        ("realnvp", 0.0),
        ("realnvp", 0.5),
        ("multiscale", 0.5),
    ],
)
def test_goes_on_in_the_middle_of_an_epoch(tmp_path, monkeypatch, flow, augment):
    """With the same weights, losses and scores, to the last bit."""
    config = TrainingConfig(**TINY[flow], augment=augment, epochs=2, precision="float32")
    ends = {}
    for name in ("whole", "stopped"):
        run = RunFolder(tmp_path / name)
        if name == "whole":
            training.train(config, run.path)
        else:
            monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
            calls = {"realnvp": 7, "multiscale": 25}[flow]
            with pytest.raises(SystemExit):
                training.train(config, run.path, callbacks=[Stop(calls)])
            state = run.state.read(print)
            assert state.step > 0
            said = []
            training.resume(run.path, say=said.append)
        rows = [[row["loss"], row["val_bits_per_dim"]] for row in run.read_history()]
        ends[name] = [np.array(rows), *run.load_model().get_weights()]
    for expected, received in zip(*ends.values(), strict=True):
        np.testing.assert_array_equal(received, expected)


@pytest.mark.slow
def test_a_signal_loses_no_step(tmp_path):
    class Signal(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations >= 15:
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(EndedBySignal), EndAtSignal() as end:
        training.train(CONFIG, tmp_path / "run", callbacks=[Signal(), end])
    state = RunFolder(tmp_path / "run").state.read(print)
    assert state.step >= 15 and state.epoch == 0


def test_bad_time_between_states(tmp_path):
    with pytest.raises(ValueError, match="`checkpoint_every` must be 0 or more, received -1"):
        training.train(CONFIG, tmp_path / "run", checkpoint_every=-1)
    assert not (tmp_path / "run").exists()


def test_model_without_a_state_is_refused(interrupted):
    shutil.rmtree(interrupted.path / "state")
    before = interrupted.model.read_bytes()
    with pytest.raises(ValueError, match=r"no state to go on from.*`overwrite`.*load_model"):
        training.resume(interrupted.path)
    assert interrupted.model.read_bytes() == before


def test_what_cannot_be_written_at_the_end_is_found_at_once(interrupted):
    interrupted.model.unlink()
    interrupted.model.mkdir()
    with pytest.raises(FileExistsError, match=r"model.keras is a folder"):
        training.resume(interrupted.path)


def test_export_is_not_a_run(interrupted):
    (interrupted.path / "1").mkdir()
    (interrupted.path / "1" / "saved_model.pb").touch()
    with pytest.raises(ValueError, match=r"is an export, not a run.*load_model"):
        training.resume(interrupted.path)
    with pytest.raises(FileExistsError, match="is an export"):
        training.train(CONFIG, interrupted.path, overwrite=True)


@pytest.mark.slow
def test_what_a_killed_run_left_half_written_is_removed(interrupted):
    for name in (".model.keras.ab_12x9z", ".metrics.json.abcd1234"):
        (interrupted.path / name).mkdir()
        (interrupted.path / name / "new.keras").write_text("half")
    mine = interrupted.path / ".model.keras.notes"
    mine.write_text("mine")
    training.resume(interrupted.path)
    assert list(interrupted.path.glob(".*")) == [mine]


@pytest.mark.slow
def test_full_disk_keeps_the_model(tmp_path, monkeypatch):
    def full(path, arrays, *more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state.np, "savez", full)
    said = []
    metrics = training.train(CONFIG, tmp_path / "run", say=said.append)
    run = RunFolder(tmp_path / "run")
    assert run.load_model() and len(run.read_history()) == metrics["epochs"] == 3
    expected = ["the state of the run, going on: cannot write ", "run, only its best model: cannot"]
    for words in expected:
        assert any(words in line and "state/000001: No space left" in line for line in said)


@pytest.mark.slow
def test_changed_images_are_refused(tmp_path):
    images = np.random.default_rng(0).integers(256, size=(200, 4, 4), dtype=np.uint8)
    data = tmp_path / "data.npz"
    np.savez(data, images=images, labels=np.arange(200) % 2)
    config = TrainingConfig(dataset=f"npz:{data}", **TINY["realnvp"], epochs=2)
    with pytest.raises(KeyboardInterrupt):
        training.train(config, tmp_path / "run", callbacks=[CtrlC(epoch=2)])
    images[:, 0, 0] ^= 1
    np.savez(data, images=images, labels=np.arange(200) % 2)
    with pytest.raises(ValueError, match="have changed since the run began"):
        training.resume(tmp_path / "run")


@pytest.mark.slow
def test_a_run_that_fails_at_once_is_not_in_the_way(tmp_path):
    class Fail(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise FloatingPointError

    with pytest.raises(FloatingPointError):
        training.train(CONFIG, tmp_path / "run", callbacks=[Fail()])
    assert not (tmp_path / "run").exists()


class _SignalInDestructor(keras.callbacks.Callback):
    """Python ignores exceptions there."""

    def on_train_batch_end(self, batch, logs=None):
        class Dying:
            def __del__(self):
                signal.raise_signal(signal.SIGTERM)

        Dying()


def test_no_signal_is_swallowed():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(EndedBySignal) as error, EndAtSignal() as end:
        model.fit(np.ones((4, 1)), np.ones(4), verbose=0, callbacks=[_SignalInDestructor(), end])
    assert error.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_signals_outside_of_training_are_exceptions_at_once():
    with pytest.raises(EndedBySignal), EndAtSignal():
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_native_code_turns_into_an_error():
    with pytest.raises(EndedBySignal) as error, EndAtSignal():
        try:
            signal.raise_signal(signal.SIGTERM)
        except EndedBySignal:
            raise SystemError("bad argument to internal function") from None
    assert error.value.number == signal.SIGTERM


def test_a_second_ctrl_c_ends_at_once():
    with EndAtSignal() as end:
        end.on_train_begin()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGHUP)  # a closed terminal sends it twice
        with pytest.raises(EndedBySignal):
            signal.raise_signal(signal.SIGINT)
