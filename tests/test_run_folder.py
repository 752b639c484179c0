import json
import multiprocessing
import shutil

import keras
import numpy as np
import pytest

from tfp_realnvp.training.run_folder import RunFolder


@pytest.fixture
def copy(run_dir, tmp_path):
    """A finished run that a test may damage."""
    return RunFolder(shutil.copytree(run_dir, tmp_path / "copy"))


def test_model_and_history(run_dir, tiny_config):
    run = RunFolder(run_dir)
    flow = run.load_model()
    assert flow.image_shape == (8, 8, 1) and flow.levels == 17
    history = run.read_history()
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert all(np.isfinite(list(row.values())).all() for row in history)
    assert run.is_finished()


def test_folder_without_a_run(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"not a run folder: it has no config.json. `train`"
    ):
        RunFolder(tmp_path / "nothing").load_model()


@pytest.mark.parametrize("found", [1, 99])
def test_run_of_another_version(copy, found):
    config = json.loads(copy.config.read_text())
    copy.config.write_text(json.dumps({**config, "format": found}))
    with pytest.raises(ValueError, match=rf"another version of tfp-realnvp \(format {found}"):
        copy.load_model()


@pytest.mark.parametrize("content", ["{", "[]", "{}", "null", '{"format": 4}', '{"format": "x"}'])
def test_damaged_config(copy, content):
    copy.config.write_text(content)
    with pytest.raises(ValueError, match=r"config.json is damaged|by another version"):
        copy.read_config()


def test_damaged_model(copy):
    content = copy.model.read_bytes()
    for damaged in (b"", b"no model", content[: len(content) // 2]):
        copy.model.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model.keras is damaged"):
            copy.load_model()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("metrics", "{", "metrics.json is damaged .Expecting"),
        ("metrics", "{}", "metrics.json is damaged .expected an object with 'can_go_on'"),
        ("metrics", '{"can_go_on": true, "test": 3}', "metrics.json is damaged .`test` must have"),
        ("history", "epoch,loss\n1,x\n", "history.csv is damaged .could not convert"),
        ("history", "loss\n1\n", "history.csv is damaged .it has no 'epoch'"),
    ],
)
def test_damaged_results(copy, name, content, words):
    getattr(copy, name).write_text(content)
    with pytest.raises(ValueError, match=f"{words}.*train again"):
        getattr(copy, f"read_{name}")()


def test_finished_run_without_its_model(copy):
    copy.model.unlink()
    with pytest.raises(FileNotFoundError, match=r"no model.keras, though .* put the file back"):
        copy.load_model()
    copy.metrics.unlink()
    with pytest.raises(FileNotFoundError, match=r"no model.keras: .*`--resume` goes on"):
        copy.load_model()


def test_model_with_code_in_it_is_refused(copy):
    """A Lambda layer would run what the file says."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(copy.model)
    with pytest.raises(ValueError, match="damaged|not a flow"):
        copy.load_model()


def test_model_of_another_kind(copy):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(copy.model)
    with pytest.raises(ValueError, match="holds a Sequential, not a flow"):
        copy.load_model()


def test_not_empty_is_not_overwritten(copy):
    with copy.locked(), pytest.raises(FileExistsError, match="not empty.*`resume`.*`overwrite`"):
        copy.check_free(overwrite=False)


def test_clear_leaves_what_is_not_the_runs(copy):
    (copy.path / "notes.txt").write_text("mine")
    copy.clear()
    assert [path.name for path in copy.path.iterdir()] == ["notes.txt"]


def _hold(path, held, release):
    with RunFolder(path).locked():
        held.set()
        release.wait(30)


@pytest.mark.slow
def test_in_use_by_another_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "run", held, release))
    process.start()
    try:
        assert held.wait(60)
        with (
            pytest.raises(FileExistsError, match="in use by another process"),
            RunFolder(tmp_path / "run").locked(),
        ):
            pass
    finally:
        release.set()
        process.join()
    with RunFolder(tmp_path / "run").locked():
        pass
    assert not (tmp_path / "run").exists()  # an empty folder is not left behind
