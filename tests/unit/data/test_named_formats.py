"""Annotations as people have them are opened, and looked through, by name."""

import json

import pytest
from scene_formats import write_formats
from typer.testing import CliRunner

from deixis.cli.app import app
from deixis.data.formats.named import class_names, open_format
from deixis.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("formats")
    truth = write_formats(root)
    names = json.loads((root / "names.json").read_text())
    (root / "classes.txt").write_text("\n".join(names))
    return root, truth


FILES = {"coco": "coco.json", "lvis": "lvis.json", "cvat": "cvat.xml"}
FILES["label_studio"] = "studio.json"


@pytest.mark.parametrize("kind", [*FILES, "yolo", "masks"])
def test_a_format_and_a_file_open_what_the_reader_opens(folder, kind):
    root, truth = folder
    samples = open_format(f"{kind}:{root / FILES.get(kind, '')}", root)
    assert [len(s.answer.targets) for s in samples] == [len(one) for one in truth]


def test_classes_of_yolo_stand_in_lines_or_in_yaml(folder, tmp_path):
    names = class_names(folder[0])
    for text in (f"names: {json.dumps(names)}", f"names: {json.dumps(dict(enumerate(names)))}"):
        (tmp_path / "data.yaml").write_text(text.replace('"0"', "0"))
        if "{" not in text:
            assert class_names(tmp_path) == names
    (tmp_path / "data.yaml").write_text("names: {1: dish, 0: cup}")
    assert class_names(tmp_path) == ("cup", "dish")
    for text, words in (("names: 3", "expected a list, got '3'"), ("names: [", "expected YAML")):
        (tmp_path / "data.yaml").write_text(text)
        with pytest.raises(DataError, match=words):
            class_names(tmp_path)
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(DataError, match=r"expected classes\.txt or data\.yaml with names"):
        class_names(tmp_path)


def test_an_unknown_format_gets_the_nearest_one(folder):
    with pytest.raises(ConfigError, match='Did you mean "coco"'):
        open_format("cocco:a.json", folder[0])


def test_the_command_counts_what_is_broken_in_a_file_of_ones_own(folder):
    root, _ = folder
    place = ["--root", str(root)]
    done = CliRunner().invoke(app, ["data", "check", f"coco:{root / 'coco.json'}", *place])
    assert (done.exit_code, json.loads(done.stdout)["read"]) == (0, 3), done.output
    value = json.loads((root / "coco.json").read_text())
    value["images"][0]["height"] = -1
    (root / "other.json").write_text(json.dumps(value))
    done = CliRunner().invoke(app, ["data", "check", f"coco:{root / 'other.json'}", *place])
    assert (done.exit_code, json.loads(done.stdout)["refused"]) == (2, 1)
    assert "other.json: image 0: expected file_name, height and width" in done.stderr
