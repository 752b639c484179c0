import errno
import json
import os

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


def test_what_a_killed_process_left_is_removed(tmp_path):
    """But not what another living process is writing, nor what is not such a folder."""
    path, mine = tmp_path / "file[1].txt", tmp_path / ".file[1].txt.notes123"
    (tmp_path / ".file[1].txt.abcd_123" / "half").mkdir(parents=True)
    mine.write_text("mine")
    with files.replacing(path) as first:
        first.write_text("first")
        with files.replacing(path) as second:
            second.write_text("second")
            assert {*tmp_path.iterdir()} == {first.parent, second.parent, mine}
    assert path.read_text() == "first"
    assert {*tmp_path.iterdir()} == {path, mine}


def test_the_folder_may_be_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    files.write_json([], tmp_path / "link" / "file.json")
    assert (tmp_path / "folder" / "file.json").exists()


def test_json_never_holds_nan(tmp_path):
    path = tmp_path / "file.json"
    files.write_json({"a": 1.5}, path)
    with pytest.raises(ValueError):
        files.write_json({"a": float("nan")}, path)
    assert json.loads(path.read_text()) == {"a": 1.5}


def test_only_a_regular_file_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name in ("folder", "fifo", "link"):
        for overwrite in (False, True):
            with pytest.raises(FileExistsError, match="only regular files are replaced"):
                files.check_output(tmp_path / name, overwrite=overwrite)
        with (
            pytest.raises(FileExistsError, match=name),
            files.replacing(tmp_path / name) as temporary,
        ):
            temporary.write_text("content")
    assert (tmp_path / "fifo").is_fifo() and (tmp_path / "link").is_symlink()


def test_an_output_is_checked_before_the_work(tmp_path):
    path = tmp_path / "file.txt"
    files.check_output(tmp_path / "new" / "file.txt", overwrite=False)
    assert list(tmp_path.iterdir()) == []
    path.write_text("mine")
    with pytest.raises(FileExistsError, match=r"file.txt is there already.*`overwrite`"):
        files.check_output(path, overwrite=False)
    files.check_output(path, overwrite=True)
    for place in (path / "under_a_file", "/proc/nowhere/file"):
        with pytest.raises(OSError, match="nothing can be written into"):
            files.check_output(place, overwrite=True)


def test_full_disk_is_said_with_the_place(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with (
        pytest.raises(OSError, match=r"cannot write .*file.txt: No space"),
        files.replacing(path) as temporary,
    ):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
