"""`answer_batch` at 16: at least 3 times the throughput of one by one."""

import sys

from results import middle, record, seconds

from deixis import load
from deixis.scenes.questions import make_sample

BATCH, ROUNDS = 16, 5


def main() -> None:
    """Ask the same questions both ways, in turns; each round has images of its own."""
    together, alone = load(*sys.argv[1:2]), load(*sys.argv[1:2])
    one_by_one, batched = [], []
    for k in range(ROUNDS + 1):
        samples = [
            make_sample("val", "refer", 9, BATCH * k + i).without_answer() for i in range(BATCH)
        ]
        one_by_one += seconds(lambda s=samples: [alone.answer_batch([one]) for one in s], 1)
        batched += seconds(lambda s=samples: together.answer_batch(s), 1)
    record(
        __file__,
        "times the throughput of one by one, at 16",
        middle(one_by_one[1:]) / middle(batched[1:]),
        ">= 3",
        one_by_one=one_by_one[1:],
        batched=batched[1:],
        questions_per_second=round(BATCH / middle(batched[1:]), 2),
        model=together.name,
    )


if __name__ == "__main__":
    main()
