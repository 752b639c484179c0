"""Commands replace only what they wrote themselves, or what they were told to replace."""

import json
import shutil

import pytest
from conftest import of_dense_runs

from tfp_realnvp.training.run_folder import RunFolder


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["sample", "RUN", "--num", "2", "--output", "a.png"], ["a.png"]),
        (["morph", "RUN", "--steps", "2", "--output", "photo.gif"], ["photo.png"]),
        (["morph", "RUN", "--steps", "2", "--output", "photo.gif"], ["photo.gif", "photo.png"]),
        (["transfer", "RUN", "--num", "2", "--no-adapt", "--output-dir", "."], ["samples.png"]),
        (["transfer", "RUN", "--num", "2", "--no-adapt", "--output-dir", "."], ["metrics.json"]),
    ],
    ids=" ".join,
)
@of_dense_runs
def test_what_is_there_is_replaced_only_on_request(
    call, run_dir, tmp_path, monkeypatch, arguments, names
):
    monkeypatch.chdir(tmp_path)
    arguments = [run_dir if word == "RUN" else word for word in arguments]
    for name in names:
        (tmp_path / name).write_text("mine")
    status, _, errors = call(*arguments)
    assert status == 2 and f"{names[0]} is there already" in errors and "--overwrite" in errors
    assert all((tmp_path / name).read_text() == "mine" for name in names)
    assert len(list(tmp_path.iterdir())) == len(names)
    assert call(*arguments, "--overwrite")[0] == 0
    assert all((tmp_path / name).read_bytes() != b"mine" for name in names)


@pytest.mark.slow
@of_dense_runs
def test_default_outputs_are_replaced(call, run_dir, tmp_path):
    run = shutil.copytree(run_dir, tmp_path / "run")
    for command, *rest in (
        ("sample", "--num", "2"),
        ("morph", "--steps", "2"),
        ("transfer", "--num", "2", "--no-adapt"),
    ):
        assert [call(command, run, *rest)[0] for _ in range(2)] == [0, 0]
    assert {path.name for path in run.iterdir()} - {path.name for path in run_dir.iterdir()} == {
        "drawn.png", "morph.gif", "morph.png", "transfer_9",
    }  # fmt: skip


@pytest.mark.slow
@of_dense_runs
def test_export_replaces_no_other_run(call, run_dir, tmp_path, empty_versions):
    other = RunFolder(shutil.copytree(run_dir, tmp_path / "other"))
    before = other.model.read_bytes()
    status, _, errors = call("export", run_dir, other.path)
    assert status == 2 and "config.json is there already" in errors
    assert other.model.read_bytes() == before and not (other.path / "1").exists()
    assert call("export", other.path, other.path)[0] == 0
    assert (other.path / "1" / "saved_model.pb").is_file()
    status, _, errors = call("export", run_dir, other.path)  # still the folder of a run
    assert status == 2 and "has versions of something else" in errors
    assert other.model.read_bytes() == before and not (other.path / "2").exists()


@pytest.mark.slow
@of_dense_runs
def test_export_replaces_no_foreign_files(call, run_dir, tmp_path):
    (tmp_path / "metrics.json").write_text("mine")
    status, _, errors = call("export", run_dir, tmp_path)
    assert status == 2 and "metrics.json is there already" in errors and "--overwrite" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    (tmp_path / "7").mkdir()
    (tmp_path / "metrics.json").unlink()
    status, _, errors = call("export", run_dir, tmp_path)
    assert status == 2 and "has versions of something else" in errors


@pytest.mark.slow
@of_dense_runs
def test_beside_the_versions_lies_what_is_of_the_newest(call, run_dir, tmp_path, empty_versions):
    unfinished = RunFolder(shutil.copytree(run_dir, tmp_path / "unfinished"))
    unfinished.metrics.unlink()
    target = RunFolder(tmp_path / "digits")
    assert call("export", run_dir, target.path)[0] == 0
    assert call("export", unfinished.path, target.path)[0] == 0
    assert not target.metrics.exists()
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assets = target.path / "1" / "assets.extra"
    assert json.loads((assets / "metrics.json").read_text()) == metrics
    assert not (target.path / "2" / "assets.extra" / "metrics.json").exists()
    target.history.write_text("changed by somebody")
    status, _, errors = call("export", run_dir, target.path)
    assert status == 2 and "history.csv is there already" in errors
    assert call("export", run_dir, target.path, "--overwrite")[0] == 0
    assert target.read_metrics() == metrics and len(target.read_history()) == 3


@pytest.mark.slow
@of_dense_runs
def test_export_of_version_0_4_gets_another_version(call, run_dir, tmp_path, empty_versions):
    target = tmp_path / "digits"
    assert call("export", run_dir, target)[0] == 0
    (target / "1" / "assets.extra" / "beside.json").unlink()  # that version kept no record
    (target / "metrics.json").unlink()
    assert call("export", run_dir, target)[0] == 0
    assert (target / "2").is_dir() and (target / "metrics.json").is_file()
    (target / "2" / "assets.extra" / "beside.json").unlink()
    (target / "config.json").write_text("{}")
    status, _, errors = call("export", run_dir, target)
    assert status == 2 and "has versions of something else" in errors
