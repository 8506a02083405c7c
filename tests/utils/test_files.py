"""Files are written whole or not at all."""

from pathlib import Path

import pytest

from fai_rl.utils.files import read_json, write_json, write_text


def test_what_is_written_is_read_again_and_private(tmp_path: Path):
    path = tmp_path / "a.json"
    write_json(path, {"é": [1, None]})
    assert read_json(path) == {"é": [1, None]}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [None, "", "{torn", "[1]"])
def test_a_missing_or_torn_file_reads_as_empty(tmp_path: Path, content: str | None):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    assert read_json(path) == {}
