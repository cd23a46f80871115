"""`deixis eval NAME --root DIR`, `--compare`, and `deixis data check`: data sets of others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deixis.cli.faults import BAD
from deixis.errors import ConfigError

if TYPE_CHECKING:
    from deixis.cli.measuring.wanted import Asked, Settings
    from deixis.data.checking import Report
    from deixis.evaluation.running.benchmarks import Benchmark

MINILM = "minilm"  # the text model that a package brings
SHOWN = 20  # refused records that are told one by one


def open_foreign(asked: Asked) -> Benchmark:
    """Open a data set in a protocol; a judge where one is needed.

    Raises:
        ConfigError: no root, or a name, split or protocol that is not known.
    """
    from deixis.evaluation.protocols.published import open_published

    if asked.root is None:
        raise ConfigError(f"{asked.name}: expected --root with the folder of the data, got none.")
    benchmark = open_published(
        str(asked.name),
        asked.root,
        split=asked.split,
        protocol=asked.protocol,
        count=asked.count,
        quarantine=asked.quarantine,
    )
    if asked.judge is not None:
        from deixis.evaluation.protocols.judging import PUBLISHED, Judge

        web = asked.judge.startswith(("http://", "https://"))
        kept = Path("judgements.jsonl") if web else Path(asked.judge)
        model = asked.judge_model or PUBLISHED
        judge = Judge(kept, asked.judge if web else None, model)
        set_judge = getattr(benchmark.task.counts, "use", None)
        if set_judge is None:
            raise ConfigError(
                f"--judge: expected videorefer-d or muse, got {asked.name}. Leave it out."
            )
        set_judge(judge)
    if asked.phrases is not None:
        compare_by = getattr(benchmark.task.counts, "compare_by", None)
        if compare_by is None:
            raise ConfigError(f"--phrases: expected grandf, got {asked.name}. Leave it out.")
        from deixis.evaluation.protocols.sentences import model_similarity, phrase_similarity

        minilm = asked.phrases == MINILM
        compare_by(*(phrase_similarity() if minilm else model_similarity(asked.phrases)))
    return benchmark


def answer_only(reasoner: Any, benchmark: Benchmark, settings: Settings) -> None:
    """Answer a share into the folder of answers, or write what is handed in to a server.

    Raises:
        ConfigError: a share without a folder.
    """
    from deixis.evaluation.answering.keeping import Kept, answer_share, write_submission

    if settings.submission is not None:
        print(write_submission(reasoner, benchmark, settings.submission))
    elif not isinstance(reasoner, Kept):
        raise ConfigError("--shard: expected a model and --keep with a folder, got none.")
    else:
        print(answer_share(reasoner, benchmark, str(settings.shard)))


def compare(reports: tuple[Path, Path], out: Path | None, root: Path | None) -> None:
    """Print how a second report differs from a first, as JSON; with ``out`` draw it on a page."""
    from deixis.evaluation.reporting.comparing import compare, reopen

    found = compare(*reports)
    if out is not None:
        from deixis.evaluation.reporting.side_by_side import write_side_by_side

        write_side_by_side(out, found, reports, reopen(reports[0], root).samples)
    print(json.dumps(found, indent=1))


def check(
    name: str, root: Path, split: str | None, quarantine: Path | None, *, thorough: bool
) -> None:
    """Look a data set through and print what was found; refused records end in a bad exit.

    With a quarantine they are written there, a JSON line each, and the exit is good.
    """
    from deixis.data.checking import write_refused

    report = _looked_through(name, root, split, thorough)
    for index, reason in report.refused[:SHOWN]:
        print(f"{index}: {reason}", file=sys.stderr)
    if len(report.refused) > SHOWN:
        print(f"... and {len(report.refused) - SHOWN} more", file=sys.stderr)
    found: dict[str, Any] = {
        "name": report.name,
        "records": report.count,
        "published": report.published,
        "recalled": report.recalled,
        "pictures": report.pictures,
        "published_pictures": report.published_pictures,
        "read": report.read,
        "refused": len(report.refused),
        "files_missing": report.missing,
        "types": dict(report.types),
        "good": report.good,
    }
    print(json.dumps(found, indent=1))
    if quarantine is not None:
        write_refused(quarantine, report)
    elif not report.good:
        for difference in report.differences():
            print(difference, file=sys.stderr)
        sys.exit(BAD)


def _looked_through(name: str, root: Path, split: str | None, thorough: bool) -> Report:
    """Return the report of a published set, of M4Seg, or of annotations as people have them."""
    from deixis.data.catalogue import DATA_SETS, open_data
    from deixis.data.checking import check
    from deixis.data.formats.named import open_format

    if name == "m4seg":
        from deixis.data.m4seg import open_m4seg

        data = open_m4seg(root, split or "val")
        report = check(data.samples, f"m4seg/{split or 'val'}", thorough=thorough)
        report.refused += [(report.count + i, said) for i, said in enumerate(data.rejected)]
        report.count += len(data.rejected)
        return report
    if ":" in name:
        samples = open_format(name, root)
        return check(samples, samples.name, thorough=thorough)
    samples = open_data(name, root, split)
    usual = DATA_SETS[name].splits[0]
    return check(samples, f"{name}/{split or usual}", thorough=thorough)
