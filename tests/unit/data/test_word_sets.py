"""Conversations and multiple choice, written in their layouts and read back."""

import pytest
from published import picture, write_json

from deixis.data.words.choices import open_mvbench, open_video_mme
from deixis.data.words.conversation import open_conversations
from deixis.errors import DataError


def test_every_turn_of_a_conversation_is_a_sample(tmp_path):
    turns = [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": "A cup."},
        {"from": "human", "value": "Whose?"},
        {"from": "gpt", "value": "Nobody's."},
    ]
    entries = [{"id": "a", "image": "a.jpg", "conversations": turns}, {"conversations": turns}]
    write_json(tmp_path / "llava_dataset/llava_instruct_150k.json", entries)
    picture(tmp_path / "coco/train2017/a.jpg")
    samples = open_conversations(tmp_path)
    assert [s.question.text for s in samples] == ["What is it?", "Whose?"]
    assert [s.answer.text for s in samples] == ["A cup.", "Nobody's."]


@pytest.mark.parametrize("turns", [[{"from": "human", "value": "x"}], [{"from": "x"}] * 2, [3, 4]])
def test_broken_conversations_are_located(tmp_path, turns):
    write_json(tmp_path / "c.json", [{"image": "a.jpg", "conversations": turns}])
    with pytest.raises(DataError, match=r"c\.json:0"):
        open_conversations(tmp_path, "c.json")[0]


def frames(folder, count):
    for index in range(count):
        picture(folder / f"{index:05d}.jpg")


def test_mvbench_asks_with_letters_about_the_part_that_is_meant(tmp_path):
    whole = {"video": "one", "question": "what?", "candidates": ["a", "b"], "answer": "b"}
    part = {**whole, "video": "two", "start": 0.04, "end": 0.13}
    write_json(tmp_path / "json/action.json", [whole, part])
    for name in ("one", "two"):
        frames(tmp_path / "video/action" / name, 6)
    first, second = open_mvbench(tmp_path)
    assert first.question.text.startswith("what?\n(A) a\n(B) b\n")
    assert (first.answer.conclusion, first.answer.text) == ("B", "(B) b")
    assert (len(first.images), len(second.images)) == (6, 3)
    assert first.type == "action"


def test_broken_mvbench_is_located(tmp_path):
    entry = {"video": "one", "question": "what?", "candidates": ["a"], "answer": "c"}
    write_json(tmp_path / "json/action.json", [entry])
    with pytest.raises(DataError, match=r"action\.json:0: .answer.: expected one of \['a'\]"):
        open_mvbench(tmp_path)[0]
    with pytest.raises(DataError, match=r"other\.json: expected in"):
        open_mvbench(tmp_path, ["other"])


def test_video_mme_reads_options_with_letters(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [
        {"question_id": f"00{i}", "videoID": "one", "question": "what?", "duration": "short"}
        | {"options": ["A. a hat.", "B. a cup."], "answer": letter}
        for i, letter in enumerate("BA")
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "test-00000-of-00001.parquet")
    frames(tmp_path / "videos/one", 2)
    samples = open_video_mme(tmp_path)
    assert [s.answer.conclusion for s in samples] == ["B", "A"]
    assert "(A) a hat." in samples[0].question.text
    (tmp_path / "test-00000-of-00001.parquet").write_bytes(b"PAR1 junk")
    with pytest.raises(DataError, match="expected a parquet file, got a broken one"):
        open_video_mme(tmp_path)
