"""The JSON schema: what is written is read back exactly, and errors say where."""

import copy
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from deixis.errors import DataError
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.masks import Mask
from deixis.structures.opening import open_images
from deixis.structures.prompts import Box, Point, Region
from deixis.structures.samples import Question, Sample
from deixis.structures.wire import (
    ReportJson,
    answer_from_json,
    answer_to_json,
    read_json,
    sample_from_json,
    sample_to_json,
    to_line,
)


def mask(x0, y0, x1, y1, size=(4, 6)):
    pixels = np.zeros(size, bool)
    pixels[y0:y1, x0:x1] = True
    return Mask(pixels)


@pytest.fixture
def folder(tmp_path):
    """A picture of 6 x 4 and a clip of three frames of 5 x 3."""
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    (tmp_path / "film").mkdir()
    for i in range(3):
        Image.new("RGB", (5, 3)).save(tmp_path / "film" / f"{i}.png")
    return tmp_path


@pytest.fixture
def sample(folder):
    clip = open_images([folder / "film"])
    images = ImageSet.join([open_images([folder / "a.png"]), ImageSet.clip(clip, (0.0, 0.1, 0.3))])
    cup = Target(phrase="cup", masks={0: mask(1, 1, 3, 4)}, object_id=3, score=0.75, presence=1.0)
    kite = Target(phrase="kite", masks={1: mask(0, 0, 5, 1, (3, 5)), 3: mask(2, 1, 3, 3, (3, 5))})
    prompts = (
        Point(image=0, x=1.5, y=2.0, name="cup", object_id=3),
        Box(image=2, x0=0.0, y0=0.5, x1=5.0, y1=3.0),
        Region(image=0, mask=mask(0, 0, 2, 2)),
    )
    answer = GroundedAnswer(
        text="A cup, a kite; no „Öl“. Two.",
        targets=(cup, kite),
        spans=((2, 5), (9, 13)),
        conclusion="two",
        absent=(Target(phrase="Öl", masks={}, presence=0.125),),
        caution="unknown words",
    )
    question = Question(text="What is [cup]?", prompts=prompts)
    return Sample(
        images=images, question=question, answer=answer, id="7", source="test", type="spatial"
    )


PATHS = ["a.png", "film"]


def same(one, other):
    assert (one.question, one.answer) == (other.question, other.answer)
    assert (one.id, one.source, one.type) == (other.id, other.source, other.type)
    assert (one.images.lengths, one.images.times) == (other.images.lengths, other.images.times)
    assert [f.key for f in one.images] == [f.key for f in other.images]
    return True


def test_a_sample_comes_back_exactly(sample, folder):
    line = to_line(sample_to_json(sample, PATHS))
    assert "\n" not in line
    again = sample_from_json(line, folder)
    assert same(again, sample)
    assert to_line(sample_to_json(again, PATHS)) == line


def test_bytes_and_dictionaries_are_read_as_well(sample, folder):
    data = sample_to_json(sample, PATHS)
    assert same(sample_from_json(data, folder), sample)
    assert same(sample_from_json(to_line(data).encode(), folder), sample)


def test_the_answer_is_written_as_promised(sample):
    document = json.loads(to_line(answer_to_json(sample.answer, sample.images, model="tiny")))
    counts = {key: value.pop("counts") for key, value in document["targets"][1]["masks"].items()}
    assert document == {
        "text": "A cup, a kite; no „Öl“. Two.",
        "conclusion": "two",
        "caution": "unknown words",
        "model": "tiny",
        "images": [
            {"index": 1, "name": "a.png", "width": 6, "height": 4},
            {
                "index": 2,
                "name": "film",
                "width": 5,
                "height": 3,
                "frames": 3,
                "times": [0.0, 0.1, 0.3],
            },
        ],
        "targets": [
            {
                "id": 3,
                "phrase": "cup",
                "span": [2, 5],
                "score": 0.75,
                "presence": 1.0,
                "masks": {"1": sample.answer.targets[0].masks[0].to_rle()},
                "boxes": {"1": [1, 1, 3, 4]},
            },
            {
                "id": None,
                "phrase": "kite",
                "span": [9, 13],
                "score": None,
                "presence": None,
                "masks": {"2@1": {"size": [3, 5]}, "2@3": {"size": [3, 5]}},
                "boxes": {"2@1": [0, 0, 5, 1], "2@3": [2, 1, 3, 3]},
            },
        ],
        "absent": [{"phrase": "Öl", "presence": 0.125}],
    }
    decoded = coco.decode({"size": [3, 5], "counts": counts["2@3"].encode()})
    np.testing.assert_array_equal(decoded, sample.answer.targets[1].masks[3].pixels)


def test_an_answer_comes_back_exactly(sample):
    document = to_line(answer_to_json(sample.answer, sample.images, model="tiny"))
    assert answer_from_json(document, sample.images) == sample.answer


def test_prompts_are_written_like_keys(sample):
    prompts = sample_to_json(sample, PATHS)["question"]["prompts"]
    assert prompts[0] == {"image": "1", "point": [1.5, 2.0], "id": 3, "name": "cup"}
    assert prompts[1] == {"image": "2@2", "box": [0.0, 0.5, 5.0, 3.0]}
    assert prompts[2] == {"image": "1", "mask": mask(0, 0, 2, 2).to_rle()}


def test_a_request_needs_images_and_words_only(folder):
    request = sample_from_json({"images": ["a.png", "film"], "question": "What?"}, folder)
    assert (request.question, request.answer) == (Question(text="What?"), None)
    assert request.images.lengths == (1, 3)


def test_images_may_lie_elsewhere(folder):
    line = {"images": [str(folder / "a.png")], "question": "?"}
    assert sample_from_json(line, "/")


def changed(data, path, value):
    """The data with one place changed; a value of None takes the field away."""
    data = copy.deepcopy(data)
    *way, last = path
    place = data
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return data


TARGET = ("answer", "targets", 0)
WRONG = [
    (("question",), None, r"at:3: question: expected a value, got none\. Add the field\."),
    (("images",), [], r"at:3: images: expected .*at least 1 item"),
    (("images",), ["b.png"], r"at:3: b\.png: expected a file or folder, got none"),
    (("id",), 7, r"at:3: id: expected a valid string, got 7\."),
    (("colour",), "red", r"at:3: colour: expected no field of this name, got 'red'\. Remove it"),
    (("question", "text"), 3, r"at:3: question\.text: expected a valid string, got 3"),
    (("question", "prompts", 0, "image"), "3", r"at:3: image number: expected 1 to 2, got 3"),
    (
        ("question", "prompts", 0, "image"),
        1,
        r"question\.prompts\[0\]\.image: expected a valid str",
    ),
    (("question", "prompts", 0, "point"), [1.0], r"prompts\[0\]\.point: .* at least 2 items"),
    (
        ("question", "prompts", 0, "point"),
        ["1", 2],
        r"point\[0\]: expected a valid number, got '1'",
    ),
    (("question", "prompts", 0, "point"), [7.0, 1.0], r"at:3: point: expected x in \[0, 6\)"),
    (("question", "prompts", 0, "point"), None, r"one of point, box and mask, got none"),
    (("question", "prompts", 0, "box"), [0, 0, 1, 1], r"got \['point', 'box'\]"),
    (("question", "prompts", 0, "id"), 0, r"prompts\[0\]\.id: expected greater than or equal to 1"),
    (("question", "prompts", 1, "box"), [3, 3, 1, 1], r"at:3: box: expected x0 < x1"),
    (("question", "prompts", 2, "mask", "size"), [6, 4], r"mask of image 1's size \(4, 6\)"),
    (("question", "prompts", 2, "mask", "size"), [3, 3], r"at:3: RLE: expected runs that add up"),
    ((*TARGET, "span"), [2, 99], r"at:3: answer: GroundedAnswer\.spans: .* got \(2, 99\)"),
    ((*TARGET, "score"), 1.5, r"targets\[0\]\.score: expected less than or equal to 1, got 1\.5"),
    ((*TARGET, "masks", "2"), {"size": [4, 6], "counts": "h0"}, r"mask of image 2's size \(3, 5\)"),
    ((*TARGET, "boxes", "1"), [0, 0, 1, 1], r"the box of its mask in image 1, \[1, 1, 3, 4\]"),
    (("images", 1, "frames"), 4, r"at:3: images: expected 4 frames .* for film, got 3 and 3"),
    (("images", 1, "times"), [0.0, 0.2, 0.1], r"at:3: clip: expected times that rise"),
]


@pytest.mark.parametrize(("path", "value", "message"), WRONG, ids=[str(w[0]) for w in WRONG])
def test_a_wrong_field_is_located(sample, folder, path, value, message):
    data = changed(sample_to_json(sample, PATHS), path, value)
    for form in (data, json.dumps(data)):
        with pytest.raises(DataError, match=message) as refusal:
            sample_from_json(form, folder, where="at:3")
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '"words"', b'{"id": "\xff"}', '{"id": NaN}'])
def test_what_is_no_json_object_is_located(folder, text):
    with pytest.raises(DataError, match=r"^at:3: .*expected "):
        sample_from_json(text, folder, where="at:3")


def test_infinite_numbers_are_neither_written_nor_read(sample, folder):
    data = sample_to_json(sample, PATHS)
    data["images"][1]["times"][2] = float("inf")
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_line(data)
    with pytest.raises(DataError, match=r"images\[1\]\.ClipJson\.times\[2\]|times"):
        sample_from_json(json.dumps(data), folder)


REPORT = {
    "metrics": {"giou": 0.5},
    "by_type": {"spatial": {"giou": 0.25}},
    "samples": 4,
    "configuration": {"task": "refer", "count": 4},
    "versions": {"deixis": "0.1.0"},
    "seed": 3,
    "data_hash": "abc",
    "seconds": 1.5,
    "counts": {"spatial": 4},
    "cases": [{"id": "a", "type": "spatial", "score": 50.0, "sums": {"giou": [2.0, 4.0]}}],
    "intervals": {"giou": [0.25, 0.75]},
    "failures": {"prediction missing": 1},
}


def test_a_report_comes_back_exactly():
    assert read_json(ReportJson, json.dumps(REPORT), "report.json").model_dump() == REPORT


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("metrics", "giou"), "much", r"metrics\.giou: expected .*, got .much"),
        (("samples",), -1, r"samples: expected greater than or equal to 0"),
        (("seed",), None, r"seed: expected a value, got none"),
    ],
)
def test_a_wrong_report_is_refused(path, value, message):
    with pytest.raises(DataError, match=message):
        read_json(ReportJson, changed(REPORT, path, value), "report.json")
