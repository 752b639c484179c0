import html.parser
import json
import re
import shutil

import numpy as np
import pytest
from conftest import TINY

from tfp_realnvp import experiments, training
from tfp_realnvp.cli import main
from tfp_realnvp.evaluation import judge
from tfp_realnvp.experiments import FewShotConfig, config, few_shot, scoring, sweeps
from tfp_realnvp.fewshot.route import CONTROLS, ROUTES

ROUTE_NAMES = [*CONTROLS, *ROUTES]
MODELS = {"small": TINY["realnvp"], "smaller": {**TINY["realnvp"], "couplings": 1}}
SMALL = FewShotConfig(shots=4, draws=1, pictures=20, time_limit=60.0)


def test_models_are_configurations():
    assert FewShotConfig().models[0] == "original" and len(FewShotConfig().models) == 4
    for name in experiments.MODELS:
        assert FewShotConfig(only=name).models == [name]
        assert FewShotConfig(hold_out=3).model(name).hold_out == (3,)


class Tags(html.parser.HTMLParser):
    """Checks that what is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def rows_of(folder):
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def small_models():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "MODELS", MODELS)
        patch.setattr(scoring, "OTHERS", 20)
        # a classifier for each route takes most of the time; tests/test_evaluation.py trains some
        patch.setattr(
            judge, "recall_after_learning", lambda drawn, *_, **__: float(np.mean(drawn) / 16)
        )
        original = FewShotConfig.model
        patch.setattr(
            FewShotConfig,
            "model",
            lambda self, name: training.TrainingConfig(
                **{**vars(original(self, name)), "epochs": 2, "precision": "float32"}
            ),
        )
        yield


@pytest.fixture(scope="module")
def done(small_models, tmp_path_factory):
    """(the folder of a finished experiment, its result)."""
    folder = tmp_path_factory.mktemp("experiments") / "nines"
    return folder, few_shot(SMALL, folder, say=lambda message: None)


@pytest.mark.slow
def test_result(done):
    folder, result = done
    assert json.loads((folder / "results.json").read_text()) == result
    assert list(result["models"]) == list(MODELS)
    scores = {name: part["validation"]["bits_per_dim"] for name, part in result["models"].items()}
    assert result["chosen"] == min(scores, key=scores.get)
    assert list(result["routes"]) == ROUTE_NAMES
    for name, part in result["routes"].items():
        row = next(row for row in rows_of(folder) if row["route"] == name)
        for score in (
            "recognized",
            "density",
            "coverage",
            "frechet",
            "nearest",
            "copying",
            "recall",
        ):
            assert part[score] == {
                "mean": row[score],
                "standard_error": None,
                "values": [row[score]],
            }
        assert ("bits_per_dim" in part) == (name in ROUTES)
    assert result["routes"]["shots"]["nearest"]["mean"] < 1e-6
    assert list(result["beside_affine_maps"]) == [n for n in ROUTE_NAMES if n != "affine_maps"]
    assert all(part["test"] for part in result["models"].values())


def test_differences_are_those_of_the_same_draw():
    scores = dict.fromkeys(scoring.COMPARED, 0.0)
    rows = [
        {"draw": draw, "route": route, **scores, "coverage": coverage}
        for draw, route, coverage in (
            (0, "affine_maps", 0.25),
            (0, "adapted", 0.5),
            (1, "adapted", 1.0),
            (1, "affine_maps", 0.5),
            (2, "adapted", 0.0),  # nothing to compare with
        )
    ]
    found = scoring.differences(rows)
    assert list(found) == ["adapted"]
    assert found["adapted"]["coverage"] == {
        "mean": 0.375,
        "standard_error": pytest.approx(0.125),
        "values": [0.25, 0.5],
    }
    assert found["adapted"]["frechet"]["values"] == [0.0, 0.0]


@pytest.mark.slow
def test_report_needs_nothing_else(done):
    folder, result = done
    text = (folder / "report.html").read_text()
    assert not re.search('(src|href)="(?!data:)', text) and "<script" not in text
    assert "@import" not in text and "url(" not in text
    tags = Tags()
    tags.feed(text)
    assert tags.open == [] and tags.seen.issuperset({"h1", "h2", "figure", "table", "dl"})
    assert text.count("data:image/png;base64,") == 3 + len(ROUTE_NAMES)
    for name in (*MODELS, *ROUTE_NAMES):
        assert name in text
    assert f"{result['routes']['adapted']['frechet']['mean']:.1f}" in text
    assert "experiment few-shot --dataset digits --hold-out 9" in text


@pytest.mark.slow
def test_more_draws_go_on(done, monkeypatch):
    """What is known is not computed again, not even where a time limit ended it; a line that was cut off is."""
    folder, _ = done
    for name in MODELS:
        metrics = folder / "models" / name / "metrics.json"
        ended = {"ended_by": "the time limit", "can_go_on": True}
        metrics.write_text(json.dumps({**json.loads(metrics.read_text()), **ended}))
    before = rows_of(folder)
    with (folder / "scores.jsonl").open("a") as file:
        file.write('{"draw": 1, "route": "sho')
    monkeypatch.setattr(training, "train", None)
    monkeypatch.setattr(training, "resume", None)
    result = few_shot(FewShotConfig(**{**vars(SMALL), "draws": 2}), folder, say=print)
    rows = rows_of(folder)
    assert rows[: len(before)] == before
    names = [(row["draw"], row["route"]) for row in rows[len(before) :]]
    assert names == [(1, name) for name in ROUTE_NAMES]
    of_shots = result["routes"]["shots"]
    assert of_shots["draws"] == 2
    values = [row["recall"] for row in rows if row["route"] == "shots"]
    assert of_shots["recall"]["values"] == values
    assert of_shots["recall"]["standard_error"] == pytest.approx(np.std(values, ddof=1) / 2**0.5)
    fewer = few_shot(SMALL, folder, say=print)
    assert fewer["routes"]["shots"]["recall"]["values"] == values[:1]
    assert rows_of(folder) == rows  # nothing is lost


@pytest.mark.slow
def test_interrupted_experiment_goes_on(done, tmp_path, small_models, monkeypatch):
    """Also in the middle of a draw; the scores are those of an experiment that was not interrupted.

    Here it is of the best model only.
    """
    folder, result = done
    alone = FewShotConfig(**{**vars(SMALL), "only": result["chosen"]})
    known = {"models": str(folder / "models"), "classifier": str(folder / "classifier.keras")}
    add = scoring.ExperimentFolder.add_score

    def add_once(self, row):
        add(self, row)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scoring.ExperimentFolder, "add_score", add_once)
        said = []
        with pytest.raises(KeyboardInterrupt):
            few_shot(alone, tmp_path / "new", say=said.append, **known)
    assert said[-1].startswith("Interrupted; what was done is in")
    assert len(rows_of(tmp_path / "new")) == 1
    again = few_shot(alone, tmp_path / "new", say=print, **known)
    assert list(again["models"]) == [result["chosen"]]
    assert f" --only {result['chosen']} " in again["command"]
    for name in ("shots", "affine_maps", "pixels_low_rank", "latent_low_rank"):
        for score in ("recognized", "density", "frechet"):
            expected = rows_of(folder)[ROUTE_NAMES.index(name)][score]
            assert again["routes"][name][score]["mean"] == pytest.approx(expected, rel=0.05), name


@pytest.mark.slow
def test_run_in_place_of_the_models(done, tmp_path, capsys):
    folder, _ = done
    arguments = ["--output-dir", str(tmp_path / "one"), "--run", str(folder / "models" / "small")]
    numbers = ["--shots", "4", "--draws", "1", "--pictures", "20", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["experiment", "few-shot", *arguments, *numbers])
    assert ended.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["models"]) == ["small"] == [result["chosen"]]
    one = folder / "models" / "small"
    with pytest.raises(ValueError, match=r"must have label 3 held out, it has \[9\]"):
        few_shot(FewShotConfig(hold_out=3), tmp_path / "two", run_dir=one)
    other = tmp_path / "other.npz"
    images = np.zeros((200, 4, 4, 1), np.uint8)
    np.savez(other, images=images, labels=np.arange(200) % 10)
    with pytest.raises(ValueError, match=r"must be of images of \(4, 4, 1\) and 256 grey levels"):
        few_shot(FewShotConfig(dataset=f"npz:{other}", shots=3), tmp_path / "two", run_dir=one)
    assert not (tmp_path / "two").exists()


@pytest.mark.slow
def test_other_runs_are_scored_too(done, tmp_path, capsys):
    """Each in a row of its own, on the same shots; they can be added to an experiment that is done."""
    folder = shutil.copytree(done[0], tmp_path / "copy")
    other = shutil.copytree(folder / "models" / "smaller", tmp_path / "other")
    rows = rows_of(folder)
    command = ["--output-dir", str(folder), "--also", str(other), "--time-limit", "60s", "--json"]
    numbers = ["--shots", "4", "--draws", "1", "--pictures", "20"]
    with pytest.raises(SystemExit) as ended:
        main(["experiment", "few-shot", *command, *numbers])
    assert ended.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["models"]) == list(MODELS) and list(result["also"]) == ["other"]
    assert list(result["routes"]) == [*ROUTE_NAMES, "adapted_other"]
    *before, row = rows_of(folder)
    assert before == rows and row["route"] == "adapted_other"
    assert result["routes"]["adapted_other"]["bits_per_dim"]["values"] == [row["bits_per_dim"]]
    assert "frechet" in result["beside_affine_maps"]["adapted_other"]
    assert result["command"].endswith("--seed 0 --also other")
    text = (folder / "report.html").read_text()
    assert "adapted_other: " in text and ", through other." in text
    drawn = {name: scores["frechet"]["mean"] for name, scores in result["routes"].items()}
    best = min(set(drawn) - set(CONTROLS), key=lambda name: drawn[name])
    assert f"the pictures of {best} are nearest to real ones" in text
    assert text.count("data:image/png;base64,") == 3 + len(ROUTE_NAMES) + 2
    few_shot(SMALL, folder, say=print)
    assert rows_of(folder) == [*rows, row]  # nothing is lost
    elsewhere = shutil.copytree(other, tmp_path / "elsewhere" / "other")
    with pytest.raises(FileExistsError, match="another experiment: its `also other` is"):
        few_shot(SMALL, folder, also=[elsewhere], say=print)


def test_other_runs_need_names_of_their_own(tmp_path):
    first = FewShotConfig().models[0]
    one, same, model = (tmp_path / name for name in ("one/run", "two/run", first))
    for run in (one, same, model):
        run.mkdir(parents=True)
        (run / "config.json").write_text('{"format": 4}')
    for also, run_dir in (([one, same], None), ([model], None), ([one], same)):
        with pytest.raises(ValueError, match="`also` must be runs in folders of different names"):
            few_shot(SMALL, tmp_path / "new", also=also, run_dir=run_dir)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_folder_of_another_experiment(done):
    folder, _ = done
    with pytest.raises(FileExistsError, match="another experiment: its `shots` is 4, not 5"):
        few_shot(FewShotConfig(**{**vars(SMALL), "shots": 5}), folder)
    with pytest.raises(FileExistsError, match="its `only` is None, not 'small'"):
        few_shot(FewShotConfig(**{**vars(SMALL), "only": "small"}), folder)
    with pytest.raises(ValueError, match="`only` must be None beside a run, received 'small'"):
        few_shot(FewShotConfig(only="small"), folder, run_dir=folder / "models" / "small")
    scores = folder / "scores.jsonl"
    before = scores.read_text()
    scores.write_text("nonsense\n" + before)
    with pytest.raises(ValueError, match=r"line 1 of .*scores.jsonl is damaged"):
        few_shot(SMALL, folder)
    scores.write_text(before)
    told = folder / "experiment.json"
    before = told.read_text()
    told.write_text("[]")
    with pytest.raises(ValueError, match=r"experiment.json is damaged \(expected an object"):
        few_shot(SMALL, folder)
    told.write_text(before)


def test_folder_of_something_else(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty, and no experiment"):
        few_shot(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hold_out": 12}, r"`hold_out` must be one of the labels \[0, 1, .* 9\], received 12"),
        ({"shots": 140}, "`shots` must leave at least 6 of the 1.. training images of label 9"),
    ],
)
def test_impossible_experiments(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        few_shot(FewShotConfig(**options), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shots": 0}, "`shots` must be at least 1, received 0"),
        ({"draws": 0}, "`draws` must be at least 1, received 0"),
        ({"pictures": 5}, "`pictures` must be at least 6, received 5"),
        ({"only": "best"}, "`only` must be one of .*, received 'best'"),
    ],
)
def test_bad_configurations(options, message):
    with pytest.raises(ValueError, match=message):
        FewShotConfig(**options)


@pytest.mark.slow
def test_sweep_over_numbers_of_shots(done, tmp_path, capsys):
    """Also a single shot, with which nothing but adaptation draws."""
    folder, _ = done
    place = tmp_path / "sweep"
    arguments = ["--output-dir", str(place), "--run", str(folder / "models" / "small")]
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "experiment",
                "few-shot",
                *arguments,
                "--shots",
                "1,4",
                "--draws",
                "1",
                "--pictures",
                "20",
            ]
        )
    assert ended.value.code == 0
    lines = capsys.readouterr().out
    assert "shots 1" in lines and "shots 4" in lines
    found = json.loads((place / "results.json").read_text())
    assert found["by"] == "shots" and list(found["experiments"]) == ["1", "4"]
    for shots, result in found["experiments"].items():
        assert result["config"]["shots"] == int(shots)
        own = place / f"shots_{shots}"
        assert json.loads((own / "results.json").read_text()) == result
        assert not (own / "classifier.keras").exists()
    text = (place / "report.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == [] and text.count("data:image/png;base64,") == 1 + 2 * 2


def test_sweep_does_the_experiment_for_each_value(tmp_path, monkeypatch):
    """All labels of the data set; numbers of shots share the models of the first experiment."""
    told = []

    def few_shot(config, folder, **options):
        told.append((config, folder.name, options["models"]))
        assert options["classifier"] == folder.parent / "classifier.keras"
        return {"config": vars(config)}

    monkeypatch.setattr(sweeps, "few_shot", few_shot)
    monkeypatch.setattr(sweeps, "_write_report", lambda found, place: None)
    experiments.sweep(SMALL, "hold_out", tmp_path / "all", say=print)
    assert [(config.hold_out, name) for config, name, _ in told] == [
        (label, f"hold_out_{label}") for label in range(10)
    ]
    assert {models for _, _, models in told} == {None}
    told.clear()
    experiments.sweep(SMALL, "shots", tmp_path / "shots", values=[2, 7], say=print)
    models = tmp_path / "shots" / "models"
    assert [(config.shots, place) for config, _, place in told] == [(2, models), (7, models)]
    with pytest.raises(FileExistsError, match="its `sweep` is 'shots', not 'hold_out'"):
        experiments.sweep(SMALL, "hold_out", tmp_path / "shots")
    with pytest.raises(ValueError, match="`by` must be one of hold_out, shots, received 'draws'"):
        experiments.sweep(SMALL, "draws", tmp_path / "new")
    with pytest.raises(ValueError, match="`values` must be at least one, received none"):
        experiments.sweep(SMALL, "shots", tmp_path / "new", values=[])
    with pytest.raises(ValueError, match="`shots` must be at least 1, received 0"):
        experiments.sweep(SMALL, "shots", tmp_path / "new", values=[3, 0])
    assert not (tmp_path / "new").exists()
