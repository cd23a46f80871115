"""Peak memory of a conversion: above its start below 1.3 times the largest shard.

    python benchmarks/convert.py [gigabytes of a shard, or a published folder]

The published layout that is converted has the wide tables of a model with a million words, so
that three shards of 1 GB hold as few tensors as a shard can: the hardest case for memory.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from results import record

LAYOUTS = Path(__file__).parents[1] / "tests/unit/conversion"
GIGABYTES = 1.0


def child(source: str, out: str) -> None:
    """Convert, and print the memory of the bare interpreter, with torch, and the peak."""
    start = peak_memory()
    from deixis.conversion.convert import convert

    imported = peak_memory()
    begin = perf_counter()
    convert(source, Path(out), "pixellm")
    seconds = perf_counter() - begin
    print(start, imported, peak_memory(), seconds)


def peak_memory() -> int:
    """Return the peak of this process alone; what getrusage says begins with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    """Write the shards, convert them in a process of its own, compare."""
    given = sys.argv[1] if len(sys.argv) > 1 else str(GIGABYTES)
    with TemporaryDirectory(dir=Path.cwd()) as name:
        source = Path(given)
        if not source.is_dir():
            sys.path.insert(0, str(LAYOUTS))
            from layouts import write_large

            source = Path(name) / "published"
            write_large(source, int(float(given) * 1e9))
        largest = max(path.stat().st_size for path in source.glob("hf_model/*.bin"))
        command = [sys.executable, __file__, "child", str(source), f"{name}/ours"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    start, imported, peak, seconds = map(float, done.stdout.split()[-4:])
    record(
        __file__,
        "peak memory of a conversion above its start, over its largest shard",
        (peak - start) / largest,
        "< 1.3",
        largest_shard=largest,
        above_start=peak - start,
        above_imports=peak - imported,
        seconds=round(seconds, 1),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        main()
