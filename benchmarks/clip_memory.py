"""Peak memory of a 600-frame clip: within 1.1 of that of a 60-frame one."""

import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from results import record

from deixis.scenes.questions import make_sample

SHORT, LONG = 60, 600


def write_clip(path: Path, frames: int) -> str:
    """Write a clip of a scene as a GIF that runs to and fro, and return its question."""
    sample = make_sample("val", "clip", 9, 0)
    there = [Image.fromarray(frame.pixels) for frame in sample.images]
    cycle = there + there[::-1]
    pictures = [cycle[k % len(cycle)] for k in range(frames)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    return sample.question.text


def child(path: str, question: str, *model: str) -> None:
    """Answer, and print the peak memory of this process in MiB."""
    from deixis import load

    answer = load(*model).answer([path], question)
    frames = max((len(target.masks) for target in answer.targets), default=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{peak:.1f} {frames}")


def measured(folder: Path, frames: int) -> tuple[float, int]:
    """Return the peak memory in MiB and how many frames have masks, in a process of its own."""
    path = folder / f"{frames}.gif"
    question = write_clip(path, frames)
    command = [sys.executable, __file__, "child", str(path), question, *sys.argv[1:2]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, shown = done.stdout.split()[-2:]
    return float(peak), int(shown)


def main() -> None:
    """Compare both lengths."""
    with TemporaryDirectory() as name:
        short, short_masks = measured(Path(name), SHORT)
        long, long_masks = measured(Path(name), LONG)
    record(
        __file__,
        "peak memory of 600 frames over that of 60",
        long / short,
        "< 1.1",
        mebibytes={SHORT: short, LONG: long},
        frames_with_masks={SHORT: short_masks, LONG: long_masks},
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        main()
