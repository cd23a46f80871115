"""Cold starts: import, --help, a refused argument, a first answer; each in a process of its own."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from results import middle, record, seconds

from deixis.scenes.questions import make_sample

ROUNDS = 5
BOUNDS = {"import": 0.1, "help": 0.4, "refusal": 1.5, "ask": 6.0}


def run(*command: str, code: int = 0) -> None:
    """Run Python with these arguments; a start that ends otherwise than it should is no start."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise SystemExit(f"exit code: expected {code}, got {done.returncode}: {done.stderr}")


def cli(*arguments: str, code: int = 0) -> None:
    """Run the command line."""
    run("-c", "from deixis.cli import main; main()", *arguments, code=code)


def main() -> None:
    """Time each start; ``import`` is what `import deixis` adds to Python with numpy."""
    with TemporaryDirectory() as name:
        path = str(Path(name) / "scene.png")
        sample = make_sample("val", "refer", 9, 0)
        Image.fromarray(sample.images[0].pixels).save(path)
        question, model = (
            sample.question.text,
            ["--model", *sys.argv[1:2]][: 2 * len(sys.argv[1:2])],
        )
        starts = {
            "numpy": lambda: run("-c", "import numpy"),
            "numpy and deixis": lambda: run("-c", "import numpy, deixis"),
            "help": lambda: cli("--help"),
            "refusal": lambda: cli("ask", path, question, "--point", "2:1,1", code=2),
            "ask": lambda: cli("ask", path, question, "--json", *model),
        }
        taken = {what: middle(seconds(start, ROUNDS)) for what, start in starts.items()}
    taken["import"] = taken["numpy and deixis"] - taken["numpy"]
    shares = {what: taken[what] / bound for what, bound in BOUNDS.items()}
    record(
        __file__,
        "largest share of its bound that any cold start takes",
        max(shares.values()),
        "< 1",
        seconds={what: round(value, 4) for what, value in taken.items()},
        bounds=BOUNDS,
    )


if __name__ == "__main__":
    main()
