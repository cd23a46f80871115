"""What a person wants measured, as the commands pass it on."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Who is measured, and where answers and the report go.

    Attributes:
        keep: a folder where answers are kept.
        shard: "2/5": only answer this share into that folder.
        submission: a zip for a server, in place of a report.
        workers: so many processes of Ray answer; 0: this one.
    """

    model: str
    device: str | None
    dtype: str | None
    batch_size: int
    out: Path | None
    keep: Path | None = None
    shard: str | None = None
    submission: Path | None = None
    workers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is measured: a benchmark, how much of it, and in which protocol."""

    name: str | None
    count: int | None = None
    seed: int = 0
    split: str | None = None
    root: Path | None = None
    protocol: str = "published"
    judge: str | None = None
    judge_model: str | None = None
    phrases: str | None = None
    quarantine: Path | None = None
