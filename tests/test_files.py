import json

import pytest

from tfp_realnvp import files


def test_replacing_takes_the_place(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with files.replacing(path) as temporary:
        assert temporary.suffix == ".txt" and not path.exists()
        temporary.write_text("content")
    assert path.read_text() == "content"
    assert list(path.parent.iterdir()) == [path]


def test_after_an_error_everything_is_as_before(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_never_holds_nan(tmp_path):
    path = tmp_path / "file.json"
    files.write_json({"a": 1.5}, path)
    with pytest.raises(ValueError):
        files.write_json({"a": float("nan")}, path)
    assert json.loads(path.read_text()) == {"a": 1.5}
