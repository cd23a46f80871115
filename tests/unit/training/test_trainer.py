"""A training from its run file to its folders: resumed equals run through, in every number."""

import json
import shutil

import numpy as np
import pytest
import torch
from toy import RUN, ToyConfig, ToyModel, ToyObjective, curve, toy_scene, toy_workshop, weights

from deixis.errors import ConfigError
from deixis.training.running.checkpoints import SEAL
from deixis.training.running.trainer import train


class Killed(RuntimeError):
    """Stands for the power that fails."""


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(RUN, encoding="utf-8")
    return path


def judge_by_step(scores):
    """A judge with scores given beforehand, which draws random numbers as a real one might."""
    left = iter(scores)

    def judge(model, settings):
        torch.rand(7), np.random.rand()
        assert (model / "processor.json").exists()
        assert settings.tasks == ("refer",)
        return {"refer/giou": next(left), "refer/ciou": 0.0}

    return judge


def killed_after(calls):
    """An objective under which the training dies at the given call."""
    counter = iter(range(10**6))

    class Mortal(ToyObjective):
        def __call__(self, model, batch):
            if next(counter) == calls:
                raise Killed
            return super().__call__(model, batch)

    return Mortal


def whole_run(run_file, out, overrides=(), judge=None, **parts):
    return train([run_file], overrides, out, judge, workshop=toy_workshop(**parts))


@pytest.mark.parametrize("stop", [2, 9, 12, 17])
def test_a_training_that_is_killed_and_resumed_has_the_same_curve(run_file, tmp_path, stop):
    through = whole_run(run_file, tmp_path / "a", judge=judge_by_step([0.1, 0.5, 0.2]))
    with pytest.raises(Killed):
        whole_run(
            run_file,
            tmp_path / "b",
            judge=judge_by_step([0.1, 0.5, 0.2]),
            objective=killed_after(stop),
        )
    again = [0.1, 0.5, 0.2][min(stop, 12) // 4 :]
    resumed = whole_run(run_file, tmp_path / "b", judge=judge_by_step(again))
    assert curve(resumed) == curve(through)
    for folder in ("last", "best", "see/checkpoint-12", "speak/checkpoint-8"):
        assert weights(resumed / folder) == weights(through / folder)
    assert len(curve(through)) == 3 + 3 + 2


def test_any_number_of_workers_gives_the_same_curve(run_file, tmp_path):
    alone = whole_run(run_file, tmp_path / "a")
    shared = whole_run(run_file, tmp_path / "b", ["workers=2"])
    assert curve(alone) == curve(shared)
    assert weights(alone / "last") == weights(shared / "last")


def test_a_finished_run_is_skipped(run_file, tmp_path):
    folder = whole_run(run_file, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert whole_run(run_file, tmp_path, objective=killed_after(0)) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_several_files_run_one_after_another(run_file, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(RUN.replace("name: toy", "name: other").replace("seed: 5", "seed: 6"))
    folder = train([run_file, other], ["steps=2"], tmp_path, workshop=toy_workshop())
    assert folder == tmp_path / "other"
    assert weights(tmp_path / "toy" / "last") != weights(folder / "last")


def test_the_best_is_what_the_judge_says_and_not_the_last(run_file, tmp_path):
    folder = whole_run(run_file, tmp_path, judge=judge_by_step([0.1, 0.5, 0.2]))
    judged = json.loads((folder / "best" / "judged.json").read_text())
    assert (judged["step"], judged["score"]) == (8, 0.25)
    assert weights(folder / "best") == weights(folder / "see" / "checkpoint-8")
    assert weights(folder / "best") != weights(folder / "last")
    assert [line["score"] for line in curve(folder) if "score" in line] == [0.05, 0.25, 0.1]


@pytest.mark.parametrize("fault", ["cut short", "file gone", "no seal", "empty"])
def test_a_torn_checkpoint_is_ignored(run_file, tmp_path, fault):
    through = whole_run(run_file, tmp_path / "a")
    with pytest.raises(Killed):
        whole_run(run_file, tmp_path / "b", objective=killed_after(9))
    torn = tmp_path / "b" / "toy" / "see" / "checkpoint-8"
    if fault == "cut short":
        (torn / "optimizer.pt").write_bytes((torn / "optimizer.pt").read_bytes()[:99])
    elif fault == "file gone":
        (torn / "model.safetensors").unlink()
    elif fault == "no seal":
        (torn / SEAL).unlink()
    else:
        shutil.rmtree(torn)
        torn.mkdir()
    assert curve(whole_run(run_file, tmp_path / "b")) == curve(through)


def test_the_folder_says_what_was_run_with_what_and_on_what(run_file, tmp_path):
    folder = whole_run(run_file, tmp_path, ["stages.see.steps=6"])
    origin = json.loads((folder / "versions.json").read_text())
    assert origin["seed"] == 5
    assert origin["packages"]["torch"] == torch.__version__
    assert sorted(origin["data"]) == ["see", "speak"]
    assert "steps: 6" in (folder / "run.yaml").read_text()
    assert "see from step 0 of 6" in (folder / "log.txt").read_text()
    assert list((folder / "tensorboard").iterdir())
    assert sorted(path.name for path in (folder / "see").glob("checkpoint-*")) == [
        "checkpoint-4",
        "checkpoint-6",
    ]


def test_last_and_best_open_like_any_model(run_file, tmp_path):
    folder = whole_run(run_file, tmp_path, judge=judge_by_step([1, 2, 3]))
    for name in ("last", "best"):
        model = ToyModel.from_pretrained(folder / name)
        assert model.dtype == torch.float32
        assert "use_cache" not in json.loads((folder / name / "config.json").read_text())


def test_only_what_the_patterns_name_learns(run_file, tmp_path):
    folder = whole_run(run_file, tmp_path)
    torch.manual_seed(5)
    begin = ToyModel(ToyConfig())
    seen = ToyModel.from_pretrained(folder / "see" / "checkpoint-12")
    spoken = ToyModel.from_pretrained(folder / "last")
    assert torch.equal(begin.head.weight, seen.head.weight)
    assert not torch.equal(begin.body[0].weight, seen.body[0].weight)
    assert not torch.equal(seen.head.weight, spoken.head.weight)


def test_precision_is_what_the_stage_says(run_file, tmp_path):
    seen = []

    def objective(processor):
        seen.append(ToyObjective(processor))
        return seen[-1]

    whole_run(run_file, tmp_path, ["steps=1"], objective=objective)
    assert [one.dtypes for one in seen if one.dtypes] == [{torch.bfloat16}, {torch.float32}]


def test_training_lowers_the_loss(run_file, tmp_path):
    folder = whole_run(run_file, tmp_path, ["steps=60", "batch=8", "train=[]", "log_every=10"])
    losses = [line["loss"] for line in curve(folder) if line["stage"] == "see" and "loss" in line]
    assert losses[-1] < 0.7 * losses[0]


def test_the_parts_of_a_line_make_its_loss(run_file, tmp_path):
    line = curve(whole_run(run_file, tmp_path, ["steps=5"]))[0]
    assert sorted(line["parts"]) == ["size", "sum"]
    assert line["loss"] == pytest.approx(sum(line["parts"].values()))
    assert {"learning_rate", "grad_norm", "stage", "step"} <= set(line)


def test_a_loss_that_is_not_finite_ends_in_an_error_that_names_step_and_part(run_file, tmp_path):
    class Exploding(ToyObjective):
        calls = 0

        def __call__(self, model, batch):
            self.calls += 1
            parts = super().__call__(model, batch)
            return {**parts, "size": parts["size"] * (float("nan") if self.calls == 3 else 1)}

    with pytest.raises(ConfigError, match=r'"size": expected a finite number at step 3 of stage'):
        whole_run(run_file, tmp_path, objective=Exploding)


def test_a_stage_weighs_the_parts_of_its_loss(run_file, tmp_path):
    plain = curve(whole_run(run_file, tmp_path / "a", ["steps=1"]))[0]
    other = curve(whole_run(run_file, tmp_path / "b", ["steps=1", "loss_weights.size=0.3"]))[0]
    assert other["parts"]["size"] == pytest.approx(3 * plain["parts"]["size"])
    assert other["parts"]["sum"] == plain["parts"]["sum"]
    with pytest.raises(ConfigError, match=r'unknown part of the loss "sise": .* mean "size"'):
        whole_run(run_file, tmp_path / "c", ["steps=1", "loss_weights.sise=1"])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("loss_weights.sise=1", r'unknown part of the loss "sise": .* mean "size"'),
        ("train=[{name: legs.*}]", r'fits parameters of the model, got "legs\.\*"'),
        ("optimizer.muon=[body.1.*]", r'expected patterns that fit matrices that learn, got'),
    ],
)
def test_what_is_wrong_in_the_last_stage_is_told_before_the_first(run_file, tmp_path, wrong, told):
    with pytest.raises(ConfigError, match=told):
        whole_run(run_file, tmp_path, [f"stages.speak.{wrong}"])
    assert not list(tmp_path.rglob("checkpoint-*"))
    whole_run(run_file, tmp_path)


def test_a_run_that_is_killed_while_it_is_finished_is_finished_again(run_file, tmp_path):
    def killed(folder, new):
        raise Killed

    def finish(folder, new):
        (new / "finished.txt").write_text("yes")
        return {"threshold": 0.5}

    with pytest.raises(Killed):
        whole_run(run_file, tmp_path, ["steps=1"], finish=killed)
    folder = whole_run(run_file, tmp_path, ["steps=1"], finish=finish)
    assert (folder / "last" / "finished.txt").exists()
    assert "threshold 0.5" in (folder / "log.txt").read_text()


def test_pictures_are_painted_every_so_often(run_file, tmp_path):
    from PIL import Image

    overrides = ["stages.see.pictures_every=5"]
    paint = lambda model, settings: Image.new("RGB", (2, 2))  # noqa: E731
    folder = train([run_file], overrides, tmp_path, None, paint, workshop=toy_workshop())
    names = sorted(path.name for path in (folder / "pictures").iterdir())
    assert names == ["see-0000005.png", "see-0000010.png", "see-0000012.png"]


def test_randomness_outside_is_left_alone(run_file, tmp_path):
    torch.manual_seed(1)
    np.random.seed(1)
    expected = (torch.rand(1).item(), np.random.rand())
    torch.manual_seed(1)
    np.random.seed(1)
    whole_run(run_file, tmp_path, ["steps=1"])
    assert (torch.rand(1).item(), np.random.rand()) == expected


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("objective=toi", r'unknown objective "toi": expected one of toy.* mean "toy"'),
        ("data.0.task=refr", r'unknown task "refr": .* mean "refer"'),
        ("data.0.task=compose", r'unknown task "compose"'),
        ("stages.see.judge.tasks=[mani]", r'unknown task "mani": .* mean "many"'),
        ("train=[tail.*]", r'got "tail\.\*"\. Its parts are body\.\*, head\.\*'),
    ],
)
def test_a_name_that_nobody_knows_is_refused(run_file, tmp_path, override, words):
    with pytest.raises(ConfigError, match=words):
        whole_run(run_file, tmp_path, [override])


def test_another_run_in_the_same_folder_is_refused(run_file, tmp_path):
    whole_run(run_file, tmp_path, ["steps=2"])
    with pytest.raises(ConfigError, match=r"stages\.see\.optimizer\.lr = 0\.02, got 0\.1"):
        whole_run(run_file, tmp_path, ["steps=2", "stages.see.optimizer.lr=0.1"])
    with pytest.raises(ConfigError, match=r"seed = 5, got 6"):
        whole_run(run_file, tmp_path, ["steps=2", "seed=6"])
    whole_run(run_file, tmp_path, ["steps=2", "log_every=1"])


def test_a_stage_that_has_not_begun_may_still_change(run_file, tmp_path):
    with pytest.raises(Killed):
        whole_run(run_file, tmp_path, objective=killed_after(9))
    folder = whole_run(run_file, tmp_path, ["stages.speak.steps=3"])
    assert (folder / "speak" / "checkpoint-3").is_dir()


def test_a_stage_does_not_go_on_with_other_data(run_file, tmp_path):
    with pytest.raises(Killed):
        whole_run(run_file, tmp_path, objective=killed_after(9))

    def other(draw):
        scene = toy_scene(draw)
        scene.renderings[0].pixels += 1
        return scene

    with pytest.raises(ConfigError, match=r"The scenes have changed: begin anew"):
        whole_run(run_file, tmp_path, scene=other)


def test_two_runs_of_one_name_are_refused(run_file, tmp_path):
    with pytest.raises(ConfigError, match=r"a name of its own, got \['toy', 'toy'\]"):
        train([run_file, run_file], (), tmp_path, workshop=toy_workshop())
