"""Two processes train what one would have trained; what one of them raises is said in its words."""

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file
from toy import RUN, ToyObjective, curve, toy_workshop

from deixis.config import load_run
from deixis.errors import ConfigError
from deixis.training.running.checkpoints import latest_whole
from deixis.training.running.processes import our_share, start
from deixis.training.running.trainer import train

SETTINGS = ["model_overrides.drop=0", "batch=3", "precision=fp32", "judge_every=null"]


class Refusing(ToyObjective):
    """Refuses the batch of the second process."""

    def __call__(self, model, batch):
        if os.environ.get("RANK") == "1":
            raise ConfigError("toy: expected a batch, got a stone. Bring a batch.")
        return super().__call__(model, batch)


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(RUN, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The folders of one training by one process and by two."""
    tmp_path = tmp_path_factory.mktemp("both")
    path = tmp_path / "toy.yaml"
    path.write_text(RUN, encoding="utf-8")
    return [
        train([path], [*SETTINGS, f"processes={n}"], tmp_path / str(n), workshop=toy_workshop())
        for n in (1, 2)
    ]


def test_two_processes_learn_what_one_learns(both):
    one, two = (load_file(folder / "last" / "model.safetensors") for folder in both)
    assert one.keys() == two.keys()
    for name in one:
        assert two[name] == pytest.approx(one[name], abs=1e-5), name


def test_two_processes_count_the_questions_of_both_and_write_once(both):
    one, two = map(curve, both)
    assert [(line["stage"], line["step"]) for line in two] == [
        (line["stage"], line["step"]) for line in one
    ]
    for ours, alone in zip(two, one, strict=True):
        assert ours["loss"] == pytest.approx(alone["loss"], rel=1e-4)
        assert ours["parts"] == pytest.approx(alone["parts"], rel=1e-4)
    text = (both[1] / "metrics.jsonl").read_text().splitlines()[0]
    line = json.loads(text)
    asked = line["seconds"] * line["questions_per_second"]
    assert asked == pytest.approx(5 * 3 * 2, rel=0.02)  # steps, sets of a step, questions of a set


def test_two_processes_leave_a_checkpoint_to_go_on_from(both):
    assert (both[1] / "done.json").exists()
    assert latest_whole(both[1] / "see").name == "checkpoint-12"


def test_an_error_in_a_process_is_said_in_its_words(run_file, tmp_path):
    shop = toy_workshop(objective=Refusing)
    with pytest.raises(ConfigError, match="got a stone"):
        train([run_file], [*SETTINGS, "processes=2"], tmp_path / "out", workshop=shop)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_sets_of_a_step_are_dealt_so_that_all_have_about_as_much_to_do(
    monkeypatch, seed, processes
):
    random = np.random.default_rng(seed)
    costs = random.integers(1, 5, 9).tolist()
    shares = []
    for rank in range(processes):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        shares.append(our_share(range(9), costs))
    assert sorted(i for share in shares for i in share) == list(range(9))
    assert all(share == sorted(share) for share in shares)
    work = [sum(costs[i] for i in share) for share in shares]
    assert max(work) - min(work) <= max(costs)


def test_every_process_has_an_image_set(run_file):
    with pytest.raises(ConfigError, match="expected at least 4"):
        load_run(run_file, ["processes=4"])


WAITING = """
import os, sys, time
from pathlib import Path
from deixis.training.running.processes import start

def wait(folder):
    Path(folder, os.environ["RANK"]).write_text(str(os.getpid()))
    time.sleep(120)

if __name__ == "__main__":
    start(2, wait, sys.argv[1])
"""


def is_alive(process):
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def leave_something_running(folder):
    Path(folder, os.environ["RANK"]).write_text("done")
    Thread(target=sleep, args=(600,)).start()


def test_what_still_runs_in_a_process_does_not_keep_its_work_from_counting(tmp_path):
    begin = monotonic()
    start(2, leave_something_running, str(tmp_path))
    assert monotonic() - begin < 200
    assert [(tmp_path / name).read_text() for name in "01"] == ["done", "done"]


def test_processes_end_with_the_one_that_started_them(tmp_path):
    script = tmp_path / "waiting.py"
    script.write_text(WAITING, encoding="utf-8")
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    files, until = [tmp_path / "0", tmp_path / "1"], monotonic() + 60
    while not all(file.exists() and file.read_text() for file in files) and monotonic() < until:
        sleep(0.05)
    children = [int(file.read_text()) for file in files]
    assert all(map(is_alive, children))
    parent.kill()
    parent.wait()
    until = monotonic() + 30
    while any(map(is_alive, children)) and monotonic() < until:
        sleep(0.05)
    assert not any(map(is_alive, children))
