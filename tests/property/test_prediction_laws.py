"""Broken predictions of other systems: every one is a located error or a right reading."""

import json
import sys
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from test_reader_laws import mutated

from deixis.errors import DeixisError
from deixis.evaluation.answering.predictions import Predictions
from deixis.evaluation.protocols.published import open_published
from deixis.structures.answers import GroundedAnswer
from deixis.structures.wire import answer_to_json

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "data"))
from tiny_sets import write_all

MUTATIONS = 300  # of each kind


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    write_all(folder)
    return folder


def lines(samples, folder):
    rows = [{"id": s.id, **answer_to_json(s.answer, s.images)} for s in samples]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "a.jsonl", folder / "a.jsonl"


def results(samples, folder):
    rows = [
        {"image_id": s.id, "category_id": 1, "score": 0.9, "segmentation": m.to_rle()}
        for s in samples
        for m in s.answer.targets[0].masks.values()
    ]
    (folder / "b.json").write_text(json.dumps(rows))
    return folder / "b.json", folder / "b.json"


def captions(samples, folder):
    for sample in samples:
        said = {"caption": sample.answer.text}
        said["phrases"] = [t.phrase for t in sample.answer.targets]
        said["pred_masks"] = [t.masks[0].to_rle() for t in sample.answer.targets]
        path = folder / f"gcg/{sample.id}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(said))
    return folder / "gcg", path


def pictures(samples, folder):
    for sample in samples:
        for frame in sample.images:
            path = folder / f"png/{sample.id}/{Path(frame.name).stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.eye(*frame.size, dtype=np.uint8) * 255).save(path)
    return folder / "png", path


def zipped(samples, folder):
    place, _ = pictures(samples, folder)
    with zipfile.ZipFile(folder / "in.zip", "w") as file:
        for path in sorted(place.rglob("*.png")):
            file.write(path, path.relative_to(place))
    return folder / "in.zip", folder / "in.zip"


KINDS = {
    "refcoco": (lines, results),
    "grandf": (captions,),
    "ref_davis17": (pictures, zipped),
}


@pytest.mark.parametrize(
    ("name", "write"), [(name, write) for name, writers in KINDS.items() for write in writers]
)
def test_broken_predictions_are_located_errors_or_answers_that_fit(root, tmp_path, name, write):
    samples = list(open_published(name, root).samples)
    place, broken = write(samples, tmp_path)
    whole, chance = broken.read_bytes(), Random(f"predictions {write.__name__}")
    assert Predictions(place).answer_batch(samples)[0].targets
    for _ in range(MUTATIONS):
        broken.write_bytes(mutated(whole, chance, broken.suffix))
        said, answers = "", []
        try:
            answers = Predictions(place).answer_batch(samples)
        except DeixisError as error:
            said = str(error)
        assert bool(answers) != bool(tmp_path.name in said or broken.name in said), said
        for sample, answer in zip(samples, answers, strict=bool(answers)):
            assert isinstance(answer, GroundedAnswer)
            for target in answer.targets:
                for index, mask in target.masks.items():
                    assert mask.size == sample.images[index].size
