"""JsonlReader: a lazy sequence of samples whose errors name file and line."""

import json
import pickle

import pytest
from PIL import Image

from deixis.data.reader import JsonlReader, Reader
from deixis.errors import DataError


def line(index, **fields):
    return json.dumps(
        {"id": str(index), "images": ["a.png"], "question": f"Frage {index}: ä?"} | fields,
        ensure_ascii=False,
    )


@pytest.fixture
def path(tmp_path):
    """Five samples, with blank lines among them and none at the end."""
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    path = tmp_path / "samples.jsonl"
    text = "\n".join([line(0), "", line(1), line(2), "  ", line(3), line(4)])
    path.write_text(text, encoding="utf-8")
    return path


def test_it_is_a_sequence(path):
    reader: Reader = JsonlReader(path)
    assert len(reader) == 5
    assert [s.id for s in reader] == ["0", "1", "2", "3", "4"]
    assert reader[3].question.text == "Frage 3: ä?"
    assert reader[-1].id == "4"
    assert [s.id for s in reader[1:4:2]] == ["1", "3"]
    with pytest.raises(IndexError):
        reader[5]


def test_it_goes_to_other_processes(path):
    assert pickle.loads(pickle.dumps(JsonlReader(path)))[2].id == "2"


def test_images_are_found_beside_the_file(path, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert JsonlReader(path)[0].images[0].size == (4, 6)


def test_lines_end_in_any_way(path):
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert [s.id for s in JsonlReader(path)] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (line(5, images=["b.png"]), r"samples\.jsonl:8: b\.png: expected a file or folder"),
        (line(5, question=7), r"samples\.jsonl:8: question: expected"),
        (line(5, answers=1), r"samples\.jsonl:8: answers: expected no field of this name, got 1"),
        (line(5)[:-4], r"samples\.jsonl:8: expected a line of JSON in UTF-8, got EOF"),
        ("words", r"samples\.jsonl:8: expected a line of JSON in UTF-8, got expected value"),
    ],
)
def test_a_wrong_line_is_found_when_it_is_read(path, bad, message):
    path.write_text(path.read_text() + "\n" + bad)
    reader = JsonlReader(path)
    assert reader[4].id == "4"
    with pytest.raises(DataError, match=message):
        reader[5]


def test_bytes_that_are_no_utf_8_are_located(path):
    path.write_bytes(line(0).encode("latin-1"))
    with pytest.raises(DataError, match=r"samples\.jsonl:1: expected a line of JSON in UTF-8"):
        JsonlReader(path)[0]


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl: expected a samples file, got none\. Check"):
        JsonlReader(tmp_path / "none.jsonl")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_refused(tmp_path, content):
    (tmp_path / "empty.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"expected a sample on each line, got an empty file"):
        JsonlReader(tmp_path / "empty.jsonl")
