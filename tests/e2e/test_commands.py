"""The commands as a user types them, with a small untrained model where one is needed."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from calling import call, run
from PIL import Image

from deixis.scenes.questions import TASKS
from deixis.structures.opening import open_images
from deixis.structures.wire import AnswerJson, answer_from_json, read_json

ANSWER_KEYS = ["text", "conclusion", "caution", "model", "images", "targets", "absent"]


def test_help_and_version_come_without_torch():
    assert "deixis 0" in run("--version").out
    for words in (["--help"], ["ask", "--help"], ["scenes", "make", "--help"]):
        done = run(*words)
        assert done.code == 0
        assert not done.torch


def test_completion_knows_the_commands():
    environment = {"_DEIXIS_COMPLETE": "complete_bash", "COMP_WORDS": "deixis e", "COMP_CWORD": "1"}
    code = "import sys; sys.argv[0] = 'deixis'; from deixis.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["eval"]


def test_json_is_one_document_in_the_schema_of_the_house(picture, clip, tiny_model):
    done = call(
        "ask", picture, clip, "Outline [1] and [cup].", "--model", tiny_model, "--json",
        "--box", "1:20,20,90,90", "--point", "2@2:60,60=cup",
    )  # fmt: skip
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert list(document) == ANSWER_KEYS
    read_json(AnswerJson, document, "answer")
    answer_from_json(document, open_images([str(picture), str(clip)]))
    assert [entry["index"] for entry in document["images"]] == [1, 2]


def test_out_holds_pictures_masks_and_the_same_document(picture, clip, tiny_model, tmp_path):
    out = tmp_path / "out"
    asked = ("ask", picture, clip, "Where is the red mug?", "--model", tiny_model)
    done = call(*asked, "--json", "--out", out)
    assert done.code == 0, done.err
    document = json.loads((out / "answer.json").read_text())
    assert document == json.loads(done.out)
    with Image.open(out / "image_1.png") as shown, Image.open(out / "image_2.gif") as moving:
        assert min(shown.size) >= 384
        assert moving.n_frames == document["images"][1]["frames"]
    masks = {(t["id"], key) for t in document["targets"] for key in t["masks"]}
    named = {tuple(p.stem.removeprefix("target_").split("_image_")) for p in out.glob("masks/*")}
    assert named == {(str(number), key) for number, key in masks}
    for path in out.glob("masks/*.png"):
        assert set(np.unique(np.asarray(Image.open(path)))) <= {0, 255}


def test_a_person_reads_words_and_places(picture, tiny_model):
    done = call("ask", picture, "Where is the red mug?", "--model", tiny_model)
    assert done.code == 0, done.err
    assert done.out.strip()


def test_a_conversation_remembers_renames_saves_and_survives_mistakes(
    picture, tiny_model, tmp_path
):
    turns = f"""/point 1:60,60=thing
What is [thing]? Outline it.
/objects
/rename thing cup
Where is [9]?
/dance
/save {tmp_path}/memory.json
/forget
/objects
/load {tmp_path}/memory.json
/objects
/quit
never read
"""
    done = call("ask", picture, "--chat", "--model", tiny_model, said=turns)
    assert done.code == 0, done.err
    assert "[9]: expected an object of this conversation" in done.err
    assert "/dance: expected one of /objects" in done.err
    assert "Traceback" not in done.err
    assert "nothing yet" in done.out
    assert (tmp_path / "memory.json").exists()


def test_a_batch_killed_in_the_middle_goes_on_where_it_was(picture, tiny_model, tmp_path):
    requests = tmp_path / "requests.jsonl"
    rows = [
        {"id": f"q{i}", "images": [str(picture)], "question": f"Where is the mug number {i}?"}
        for i in range(11)
    ]
    rows[4]["images"] = ["gone.png"]
    requests.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = call("ask", "--batch", requests, "--model", tiny_model)
    answers = tmp_path / "requests.answers.jsonl"
    first = [json.loads(line) for line in answers.read_text().splitlines()]
    assert done.code == 2
    assert [row["id"] for row in first] == [row["id"] for row in rows]
    assert "gone.png" in first[4]["error"]
    lines = answers.read_text().splitlines(keepends=True)
    answers.write_text("".join(lines[:6]) + lines[6][:20])
    call("ask", "--batch", requests, "--model", tiny_model)
    second = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [(r["id"], r.get("text")) for r in second] == [(r["id"], r.get("text")) for r in first]


def test_an_evaluation_writes_a_report_and_pictures(tiny_model, tmp_path):
    out = tmp_path / "report.json"
    done = call(
        "eval", "scenes:refer", "--model", tiny_model, "--count", "4", "--seed", "5",
        "--out", out, "--pictures", "1",
    )  # fmt: skip
    assert done.code == 0, done.err
    report = json.loads(out.read_text())
    assert report["samples"] == 4
    assert 0 <= report["metrics"]["giou"] <= 1
    assert len(list(tmp_path.glob("report_pictures/*.png"))) == 2


def test_a_baseline_is_measured_without_a_model(tmp_path):
    done = call("eval", "scenes:plain", "--baseline", "shuffle", "--count", "6")
    assert done.code == 0, done.err
    assert "baseline:shuffle" in done.out


@pytest.mark.parametrize("task", ["clip", "region"])
def test_scenes_are_made_and_shown(task, tmp_path):
    made = call("scenes", "make", "--task", task, "--count", "2", "--out", tmp_path / "set")
    assert made.code == 0, made.err
    assert len((tmp_path / "set/samples.jsonl").read_text().splitlines()) == 2
    shown = call("scenes", "show", "--task", task, "--count", "2", "--out", tmp_path / "sheet.png")
    assert shown.code == 0, shown.err
    assert Image.open(tmp_path / "sheet.png").width > 400


def test_models_lists_folders_and_recognises_published_checkpoints(tiny_model, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["PixelLMForCausalLM"]}))
    done = run("models", tiny_model, tmp_path)
    assert done.code == 0, done.err
    assert tiny_model.name in done.out
    assert "PixelLM; not converted yet" in done.out
    assert not done.torch


def test_the_doctor_answers_a_question_end_to_end(tiny_model):
    done = call("doctor", "--model", tiny_model)
    for line in (
        "Python",
        "torch",
        "transformers",
        "torchvision",
        "memory",
        "devices",
        "a question",
    ):
        assert line in done.out
    assert "->" in done.out


def test_a_training_without_a_run_file_or_with_a_misspelt_key_is_refused(tmp_path):
    assert run("train", "a.b=1").code == 2
    (tmp_path / "run.yaml").write_text("name: x\nmodle: deixis_tiny\n")
    done = run("train", tmp_path / "run.yaml")
    assert done.code == 2
    assert 'Did you mean "model"' in done.err
    assert not done.torch


def test_options_that_exclude_each_other_are_refused(picture):
    done = run("ask", picture, "--chat", "--json")
    assert done.code == 2
    assert "--chat: expected no --json beside it" in done.err


def test_leaving_with_control_c_is_quiet(picture, tiny_model):
    command = [sys.executable, "-c", "from deixis.cli import main; main()", "ask", str(picture)]
    process = subprocess.Popen(
        [*command, "--chat", "--model", str(tiny_model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells' jobs ignore it
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("/objects\n")
    process.stdin.flush()
    assert "nothing yet" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_the_demo_shows_every_task(tiny_model, tmp_path):
    from deixis.cli.demo import show
    from deixis.reasoning.reasoner import load

    show(tmp_path / "demo", load(tiny_model))
    pictures = {path.stem for path in (tmp_path / "demo").glob("*.png")}
    assert pictures == {*TASKS, "turns", "overview"}
    assert {path.stem for path in (tmp_path / "demo").glob("*.gif")} == {"clip", "pixelqa"}
    assert (tmp_path / "demo" / "index.html").stat().st_size > 100_000
