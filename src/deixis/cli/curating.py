"""`deixis curate m4seg stats`: what a split of M4Seg holds, and which records were put aside."""

import json
import sys
from pathlib import Path

SHOWN = 10  # faults that are told one by one


def m4seg_stats(root: Path, split: str, file: Path | None) -> None:
    """Print the counts of a split as JSON; faults go to stderr."""
    from deixis.data.m4seg import open_m4seg, statistics

    data = open_m4seg(root, split, file=file)
    for fault in data.rejected[:SHOWN]:
        print(fault, file=sys.stderr)
    if len(data.rejected) > SHOWN:
        print(f"... and {len(data.rejected) - SHOWN} more", file=sys.stderr)
    print(json.dumps(statistics(data), indent=1))
