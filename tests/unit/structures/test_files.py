"""Files appear whole or not at all."""

import pytest

from deixis.errors import DataError
from deixis.structures.files import whole_file, write_whole


def test_a_file_is_written_or_replaced(tmp_path):
    for content in ("first", "zweite ü", b"third"):
        write_whole(tmp_path / "a.json", content)
    assert (tmp_path / "a.json").read_bytes() == b"third"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"expected a place that can be written to, got: No such"):
        write_whole(tmp_path / "none" / "a.json", "x")


def test_after_an_error_the_old_file_stands(tmp_path, monkeypatch):
    write_whole(tmp_path / "a.json", "old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(DataError, match=r"a\.json: .* No space left on device.* make room"):
        write_whole(tmp_path / "a.json", "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.json", "old")]


def test_what_is_written_bit_by_bit_appears_at_its_end_or_never(tmp_path):
    with whole_file(tmp_path / "a.txt") as file:
        file.write("one\n")
        assert not (tmp_path / "a.txt").exists()
        file.write("two\n")
    assert (tmp_path / "a.txt").read_text() == "one\ntwo\n"
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "a.txt") as file:
        file.write(f"three {1 / 0}")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "one\ntwo\n")]
    with pytest.raises(DataError, match="got: No such"), whole_file(tmp_path / "none" / "a.txt"):
        pass
