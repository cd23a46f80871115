"""Run files: what is read, what is refused and with which words, and what an override reaches."""

import pytest

from deixis.config import TrainRun, dump, load_run, parse_override, pick, validate
from deixis.errors import ConfigError

RUN = """
name: small
model: deixis_tiny
seed: 3
stages:
  - name: see
    objective: dense
    steps: 10
    optimizer: {lr: 3e-3, schedule: linear}
    data: [{task: refer}, {task: clip, weight: 0.5}]
  - name: speak
    objective: answer
    steps: 20
    train: [language.*, {name: encoder.*, lr_factor: 0.1}]
    data: [{task: many, questions: 4, pool: 50}]
    judge: {tasks: [refer], count: 7, seed: 1}
"""


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(RUN, encoding="utf-8")
    return path


def refusal(path, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_run(path, overrides)
    return str(caught.value)


def changed(path, old, new):
    path.write_text(RUN.replace(old, new), encoding="utf-8")
    return path


def test_a_run_file_is_read_and_what_it_leaves_out_has_its_default(run_file):
    run = load_run(run_file)
    assert (run.name, run.seed, [stage.name for stage in run.stages]) == (
        "small",
        3,
        ["see", "speak"],
    )
    see, speak = run.stages
    assert (see.optimizer.lr, see.optimizer.clip, see.data[1].weight) == (0.003, 1.0, 0.5)
    assert [(one.name, one.lr_factor) for one in speak.train] == [
        ("language.*", 1.0),
        ("encoder.*", 0.1),
    ]
    assert (speak.data[0].pool, speak.judge.count, see.judge) == (50, 7, None)


def test_a_run_that_is_written_and_read_again_is_the_same(run_file, tmp_path):
    run = load_run(run_file)
    (tmp_path / "again.yaml").write_text(dump(run), encoding="utf-8")
    assert load_run(tmp_path / "again.yaml") == run


@pytest.mark.parametrize(
    ("override", "reached"),
    [
        ("stages.1.optimizer.lr=1e-4", lambda run: run.stages[1].optimizer.lr == 1e-4),
        ("stages.speak.steps=5", lambda run: [s.steps for s in run.stages] == [10, 5]),
        ("steps=5", lambda run: [s.steps for s in run.stages] == [5, 5]),
        ("data.0.weight=2", lambda run: [s.data[0].weight for s in run.stages] == [2, 2]),
        ("seed=9", lambda run: run.seed == 9),
        ("optimizer.clip=null", lambda run: run.stages[0].optimizer.clip is None),
        ("stages.see.train=[head.*]", lambda run: run.stages[0].train[0].name == "head.*"),
        ("model_overrides.width=1e-2", lambda run: run.model_overrides == {"width": 0.01}),
    ],
)
def test_an_override_reaches_its_key(run_file, override, reached):
    assert reached(load_run(run_file, [override]))


@pytest.mark.parametrize(
    ("old", "new", "place", "near"),
    [
        ("seed: 3", "sed: 3", "sed", "seed"),
        ("steps: 10", "stepps: 10", "stages.0.stepps", "steps"),
        ("lr: 3e-3", "learning_rate: 3", "stages.0.optimizer.learning_rate", None),
        ("schedule: linear", "shedule: linear", "stages.0.optimizer.shedule", "schedule"),
        ("weight: 0.5", "wieght: 0.5", "stages.0.data.1.wieght", "weight"),
        ("count: 7", "counts: 7", "stages.1.judge.counts", "count"),
        ("lr_factor: 0.1", "factor: 0.1", "stages.1.train.1.factor", "lr_factor"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(run_file, old, new, place, near):
    said = refusal(changed(run_file, old, new))
    assert f"small.yaml: {place}: unknown key: expected one of " in said
    assert (f'Did you mean "{near}"?' in said) if near else ("Did you mean" not in said)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("steps: 10", "steps: 0", "stages.0.steps: expected a value that fits: "),
        ("steps: 10", "steps: many", "got 'many'"),
        (
            "schedule: linear",
            "schedule: stepwise",
            "'linear', 'constant_then_linear' or 'cosine', got 'stepwise'",
        ),
        ("    steps: 10\n", "", "stages.0.steps: expected a value, got none"),
        ("name: speak", "name: see", "expected one name for each stage, got see, see"),
        ("seed: 3", "seed: 9223372036854775808", "seed: expected a value that fits"),
        ("lr: 3e-3", "lr: .nan", "stages.0.optimizer.lr"),
        ("seed: 3", "seed: 3\nseed: 4", 'the key "seed" twice'),
        ("seed: 3", "seed: [3", "expected YAML"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_place(run_file, old, new, words):
    assert words in refusal(changed(run_file, old, new))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("steps", "expected key=value"),
        ("=3", "expected key=value"),
        ("optimizer.lrr=1", 'Did you mean "lr"?'),
        ("stages.7.steps=1", 'expected one of 0 to 1, see, speak, got "7"'),
        ("stages.sea.steps=1", 'got "sea"'),
        ("seed.x=1", "expected keys or a list on the way there, got a int"),
        ("seed=[1", "expected a value in YAML"),
    ],
)
def test_an_override_that_cannot_be_set_is_refused(run_file, override, words):
    assert words in refusal(run_file, override)


def test_a_file_that_is_no_run_file_is_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    assert "expected keys and values, got a list" in refusal(tmp_path / "list.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    assert "expected text in UTF-8" in refusal(tmp_path / "bytes.yaml")


def test_an_unknown_name_is_refused_with_the_nearest_one():
    assert pick({"refer": 1, "many": 2}, "many", "task") == 2
    with pytest.raises(ConfigError, match=r'unknown task "refr": .*refer, many, .*mean "refer"\?'):
        pick({"refer": 1, "many": 2}, "refr", "task")


def test_values_of_overrides_are_yaml():
    assert parse_override("a.b=[1, x]") == ("a.b", [1, "x"])
    assert parse_override("a=") == ("a", None)
    assert parse_override("a=b=c") == ("a", "b=c")


def test_a_run_without_stages_is_refused():
    with pytest.raises(ConfigError, match="stages: expected a value, got none"):
        validate(TrainRun, {"name": "x", "model": "y"}, "here")
