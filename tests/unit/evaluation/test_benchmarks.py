"""Names of benchmarks: what they open and what each measures."""

import json

import pytest
from PIL import Image

from deixis.errors import ConfigError, DataError
from deixis.evaluation.running.benchmarks import ANY, BENCHMARKS, open_benchmark
from deixis.metrics.tally import MEASURES
from deixis.scenes.questions import TASKS, make_sample
from deixis.structures.wire import sample_to_json, to_line


def test_every_scene_task_is_a_benchmark_with_known_measures():
    assert set(BENCHMARKS) == {f"scenes:{task}" for task in (*TASKS, "multi-words")}
    assert all(set(task.measures) <= set(MEASURES) for task in BENCHMARKS.values())


@pytest.mark.parametrize("name", ["scenes:multi", "multi"])
def test_scenes_are_the_samples_of_their_split_and_seed(name):
    benchmark = open_benchmark(name, count=3, seed=8, split="val")
    assert (benchmark.name, len(benchmark.samples)) == ("scenes:multi", 3)
    found = [(sample.id, sample.answer) for sample in benchmark.samples]
    assert found == [
        (s.id, s.answer) for s in (make_sample("val", "multi", 8, i) for i in range(3))
    ]


def written(folder, tasks) -> str:
    lines = []
    for index, task in enumerate(tasks):
        sample = make_sample("test", task, 1, index)
        paths = []
        for image, frame in enumerate(sample.images):
            paths.append(f"{index}_{image}.png")
            Image.fromarray(frame.pixels).save(folder / paths[-1])
        lines.append(to_line(sample_to_json(sample, paths)))
    (folder / "samples.jsonl").write_text("\n".join(lines))
    return f"data:{folder / 'samples.jsonl'}"


def test_a_file_of_one_known_task_is_measured_like_it(tmp_path):
    name = written(tmp_path, ["absent", "absent", "absent"])
    assert open_benchmark(name, count=2).task == BENCHMARKS["scenes:absent"]
    assert len(open_benchmark(name, count=2).samples) == 2
    assert len(open_benchmark(name, count=None).samples) == 3
    truth = open_benchmark(name).samples[1].answer
    assert truth == make_sample("test", "absent", 1, 1).answer


def test_a_file_of_several_tasks_is_measured_on_all_that_its_samples_define(tmp_path):
    assert open_benchmark(written(tmp_path, ["refer", "plain"])).task == ANY


def test_a_wrong_name_gets_the_nearest_one():
    with pytest.raises(ConfigError, match=r'Did you mean "scenes:refer"\?'):
        open_benchmark("scenes:refre")


def test_nothing_to_ask_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="expected at least 1 sample, got 0"):
        open_benchmark("refer", count=0)
    with pytest.raises(DataError, match="expected a samples file, got none"):
        open_benchmark(f"data:{tmp_path / 'none.jsonl'}")
    (tmp_path / "bad.jsonl").write_text(json.dumps({"images": []}))
    with pytest.raises(DataError, match=r"bad\.jsonl:1: "):
        open_benchmark(f"data:{tmp_path / 'bad.jsonl'}")


def test_where_a_question_points_another_is_asked_in_words():
    pointing = [i for i in range(6) if make_sample("val", "multi", 0, i).question.prompts]
    words = open_benchmark("multi-words", count=6, seed=0, split="val").samples
    assert 0 in pointing
    for index in range(6):
        assert not words[index].question.prompts
        if index not in pointing:
            assert words[index].id == make_sample("val", "multi", 0, index).id
