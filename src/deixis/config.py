"""Run files: YAML <-> pydantic models, with strict keys, dotted overrides and "did you mean".

A run file says what is trained, on what and for how long; the run folder keeps the resolved one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from deixis.errors import ConfigError

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
LARGEST_SEED = 2**63 - 1


class Strict(BaseModel):
    """Values that are set once, under known names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(Strict):
    """One task of a mixture."""

    task: str
    weight: float = Field(default=1.0, gt=0)
    questions: int | None = Field(default=None, ge=1)  # per set; None: as the stage says
    kinds: dict[str, float] = {}  # kind of question -> how many times as often as usual
    pool: int | None = Field(
        default=None, ge=1
    )  # so many worlds that return; None: always new ones


class Optimizer(Strict):
    """AdamW and the course of its rate, as a share of ``lr``; Muon (torch.optim) for the matrices
    of these names, with steps as large as AdamW's."""

    lr: float = Field(default=1e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: int = Field(default=100, ge=0)  # steps from 0 to the full rate
    schedule: Literal["linear", "constant_then_linear", "cosine"] = "linear"
    decay_from: float = Field(
        default=0.5, ge=0, le=1
    )  # share of the steps; constant_then_linear only
    floor: float = Field(default=0.02, ge=0, le=1)  # share of ``lr`` at the last step
    clip: float | None = Field(default=1.0, gt=0)  # largest norm of all gradients; None: no limit
    muon: tuple[str, ...] = ()  # patterns of names


class Trained(Strict):
    """Parameters that learn: a pattern with ``*`` for their names, and a share of the rate."""

    name: str
    lr_factor: float = Field(default=1.0, ge=0)  # 0: frozen


class Judging(Strict):
    """The fixed ``val`` questions by which ``best/`` is chosen."""

    tasks: tuple[str, ...] = Field(min_length=1)
    count: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)


class Stage(Strict):
    """One objective on one mixture for so many steps."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    objective: str
    steps: int = Field(ge=1)
    batch: int = Field(default=8, ge=1)  # image sets per step
    questions: int = Field(default=1, ge=1)  # per image set
    optimizer: Optimizer = Optimizer()
    loss_weights: dict[str, float] = {}  # parts that weigh otherwise than the objective says
    data: tuple[Source, ...] = Field(min_length=1)
    train: tuple[Trained, ...] = ()  # the first pattern that fits counts; empty: everything learns
    precision: Literal["bf16", "fp32"] = "bf16"
    workers: int = Field(default=0, ge=0)
    log_every: int = Field(default=20, ge=1)
    save_every: int = Field(default=500, ge=1)
    worn: float = Field(default=0.0, ge=0, le=1)  # share of the sets whose pictures are worn
    judge_every: int | None = Field(default=None, ge=1)  # None: this stage is not judged
    pictures_every: int | None = Field(default=None, ge=1)
    judge: Judging | None = None

    @field_validator("train", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [{"name": one} if isinstance(one, str) else one for one in value]


class Start(Strict):
    """Weights that a new model takes over from a trained one, wherever their names fit."""

    model: str  # a folder
    take: tuple[str, ...] = Field(default=("*",), min_length=1)  # patterns; all must fit something


class TrainRun(Strict):
    """A model and the stages that train it, one after another."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    model: str  # a preset, or the folder of a model
    model_overrides: dict[str, Any] = {}  # values of the preset's config; not for a folder
    start: Start | None = None  # None: every weight begins anew
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    processes: int = Field(default=1, ge=1)  # that share the image sets of every step
    stages: tuple[Stage, ...] = Field(min_length=1)

    @field_validator("stages")
    @classmethod
    def _one_folder_each(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        names = [stage.name for stage in stages]
        if len(set(names)) < len(names):
            raise ValueError(f"expected one name for each stage, got {', '.join(names)}")
        return stages

    @model_validator(mode="after")
    def _work_for_all(self) -> "TrainRun":
        for stage in self.stages:
            if stage.batch < self.processes:
                raise ValueError(
                    f"stages.{stage.name}.batch: expected at least {self.processes}, an image set "
                    f"for each of the processes, got {stage.batch}"
                )
        return self


def pick(table: Mapping[str, T], name: str, what: str) -> T:
    """Return the entry of that name.

    Raises:
        ConfigError: there is none; the message says which there are and which is nearest.
    """
    if name not in table:
        raise ConfigError(f'unknown {what} "{name}": {expected_one_of(table, name)}')
    return table[name]


def expected_one_of(names: Iterable[str], got: str) -> str:
    """Say which names there are and which of them was meant."""
    names = list(names)
    near = get_close_matches(got, names, n=1, cutoff=0.5)
    hint = f'Did you mean "{near[0]}"?' if near else "Use one of these names."
    return f'expected one of {", ".join(names)}, got "{got}". {hint}'


def load_run(path: str | Path, overrides: Sequence[str] = ()) -> TrainRun:
    """Read a training run; an override of a stage's key without its stage is for every stage.

    Example: ``load_run("runs/tiny.yaml", ["stages.dense.steps=10", "optimizer.lr=1e-4"])``.

    Raises:
        ConfigError: no file, no YAML, an unknown key or a value that does not fit.
    """
    raw = read_yaml(path)
    for override in overrides:
        key, value = parse_override(override)
        first = key.split(".")[0]
        everywhere = first in Stage.model_fields and first not in TrainRun.model_fields
        keys = [f"stages.{i}.{key}" for i in range(_stages(raw))] if everywhere else [key]
        for key in keys:
            apply_override(raw, key, value)
    return validate(TrainRun, raw, str(path))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a mapping from a YAML file.

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    path = Path(path)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise ConfigError(
            f"{path}: expected a run file that can be read, got: {error.strerror}. Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: expected text in UTF-8, got other bytes. Give a YAML file."
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{path}: expected YAML, got: {_one_line(error)}. Correct that line."
        ) from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected keys and values, got {_kind(raw)}. See runs/.")
    return raw


def parse_override(override: str) -> tuple[str, Any]:
    """Split ``a.b=value``; the value is read as YAML.

    Raises:
        ConfigError: it has no key, no ``=``, or a value that is no YAML.
    """
    key, sign, text = override.partition("=")
    if not sign or not all(key.split(".")):
        raise ConfigError(
            f"override: expected key=value, such as optimizer.lr=1e-4, got {override!r}. "
            f"Write both sides without spaces."
        )
    try:
        return key, yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"override {key}: expected a value in YAML, got {text!r}. Quote it for the shell."
        ) from error


def apply_override(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in place; list entries go by number (from 0) or by their name.

    Raises:
        ConfigError: the way to the key leads through something that holds no keys.
    """
    *way, last = key.split(".")
    node: Any = raw
    for depth, step in enumerate(way):
        if isinstance(node, dict):
            if node.get(step) is None:
                node[step] = {}
            node = node[step]
        else:
            node = node[_position(node, step, ".".join(way[: depth + 1]))]
    if isinstance(node, dict):
        node[last] = value
    else:
        node[_position(node, last, key)] = value


def validate(kind: type[M], raw: Any, where: str) -> M:
    """Make a strict model of raw values.

    Raises:
        ConfigError: names the file, the key, what was expected and, for a key, the nearest one.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        faults = error.errors()
        first = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
        key = ".".join(str(part) for part in first["loc"])
        place = f"{where}: {key}" if key else where
        if first["type"] == "extra_forbidden":
            fields = _fields_at(kind, first["loc"][:-1])
            said = f"unknown key: {expected_one_of(fields, str(first['loc'][-1]))}"
        elif first["type"] == "missing":
            said = "expected a value, got none. Add this key."
        else:
            wanted = first["msg"].removeprefix("Value error, ")
            ours = first["type"] == "value_error"  # says itself what it got
            got = "" if ours else f", got {first['input']!r}"
            said = f"{wanted[0].lower()}{wanted[1:]}{got}. Correct it."
            said = said if said.startswith("expected") else f"expected a value that fits: {said}"
        raise ConfigError(f"{place}: {said}") from error


def dump(run: BaseModel) -> str:
    """Write a run as YAML with every value resolved; reading it back gives an equal run."""
    return yaml.safe_dump(run.model_dump(mode="json"), sort_keys=False, width=100)


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-4 is a number and a key may stand only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f'the key "{key}" twice', node.start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    "-+0123456789",
)


def _stages(raw: Mapping[str, Any]) -> int:
    stages = raw.get("stages")
    return len(stages) if isinstance(stages, list) else 0


def _position(node: Any, step: str, key: str) -> int:
    if not isinstance(node, list):
        raise ConfigError(
            f"override {key}: expected keys or a list on the way there, got {_kind(node)}. "
            f"Shorten the key."
        )
    names = [one.get("name") for one in node if isinstance(one, dict)]
    if step in names:
        return names.index(step)
    if not step.isdecimal() or int(step) >= len(node):
        known = f"0 to {len(node) - 1}" + "".join(f", {name}" for name in names if name)
        raise ConfigError(f'override {key}: expected one of {known}, got "{step}". Correct it.')
    return int(step)


def _fields_at(kind: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that are known at a place, found through the annotations of the models."""
    for part in loc:
        if isinstance(part, str) and part in kind.model_fields:
            kind = _model_in(kind.model_fields[part].annotation) or kind
    return list(kind.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(inner) for inner in get_args(annotation))
    return next((model for model in found if model), None)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
