"""Every recorded output of the published metric code, against ours; nothing recorded is left out.

Cases, sizes and parameters all come from the folder ``metrics`` under DEIXIS_GOLDENS.
"""

import re
import shutil
from collections.abc import Callable

import metrics_clips
import metrics_images
import metrics_readers
import metrics_words
import pytest
from recorded import GOLDENS, File, recorded, stems

FOLDER = GOLDENS / "metrics"
CHECKS: dict[str, Callable[[File], None]] = {
    **metrics_images.CHECKS,
    **metrics_clips.CHECKS,
    **metrics_words.CHECKS,
    **metrics_readers.CHECKS,
}
JAVA = shutil.which("java") is not None
CAPTIONED = "gcg"  # the file whose captions METEOR and CIDEr score
done: set[str] = set()


def check(stem: str) -> None:
    """Compare one file, with its arrays."""
    CHECKS[stem](recorded(FOLDER, stem))
    done.add(stem)


@pytest.mark.parametrize("stem", stems(FOLDER) or ["(none)"])
def test_every_recorded_file_is_met(stem):
    if not FOLDER.is_dir():
        pytest.skip(f"{FOLDER}: no recorded values here; name their folder in DEIXIS_GOLDENS")
    assert stem in CHECKS, f"{stem}: expected a check for each file, got none; write one"
    check(stem)


@pytest.mark.skipif(not JAVA, reason="METEOR needs Java")
def test_scores_of_captions_are_met():
    if not FOLDER.is_dir():
        pytest.skip(f"{FOLDER}: no recorded values here; name their folder in DEIXIS_GOLDENS")
    for stem in {CAPTIONED} & set(stems(FOLDER)):
        metrics_words.check_captions(recorded(FOLDER, stem))
        done.add("captions")


def test_nothing_recorded_is_left_unused():
    left = {}
    for stem in stems(FOLDER):
        file = recorded(FOLDER, stem)
        if stem not in done:
            check(stem)
        if stem == CAPTIONED and JAVA and "captions" not in done:
            metrics_words.check_captions(file)
        unused = {path for path in file.left if JAVA or path[0] != "caption"}
        left[stem] = sorted(map(str, unused))[:5]
    assert not any(left.values()), re.sub(r"'\w+': \[\],? ?", "", str(left))
