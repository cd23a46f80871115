"""How answers, judgements and phrases are read: the published ways and the clean ones."""

import shutil
from importlib.util import find_spec

import numpy as np
import pytest

from deixis.errors import ConfigError, DataError
from deixis.metrics.protocols import PROTOCOLS, find_protocol
from deixis.metrics.words import choices, judged, phrases
from deixis.metrics.words.captions import Captions, cider_of_draws, meteor_of_draws

OPTIONS = ["(A) a helmet", "(B) a hat", "(C) sunglasses"]


@pytest.mark.parametrize(
    ("response", "unipixel", "videorefer", "clean"),
    [
        ("A", "A", "A", "A"),
        ("(b) a hat", "B", "B", "B"),
        ("The answer is A", "T", "T", "A"),
        ("Answer: C", "A", "A", "C"),
        ("Best option: (B)", "B", "B", "B"),
        ("c.", "C", "C", "C"),
        ("b) hat", "B", "B", "B"),
        ("A) or (B)", "A", "B", "B"),
        ("(A) or (B)", "A", "A", None),
        ("A hat", "A", "A", "B"),
        ("", None, None, None),
        (" B", None, " ", "B"),
    ],
)
def test_each_script_reads_another_letter(response, unipixel, videorefer, clean):
    assert choices.unipixel_letter(response) == unipixel
    assert choices.videorefer_letter(response) == videorefer
    assert choices.named_option(response, OPTIONS) == clean


def test_answers_without_an_option_count_as_wrong_and_empty_ones_by_name():
    tally = choices.measure("The answer is A", "A", 3, "basic")
    tally += choices.measure("", "A", 3, "basic") + choices.measure("A.", "a", 3, "future")
    assert tally.result()["accuracy"] == 1 / 3
    assert tally.top("accuracy/future") == 1
    assert tally.failures() == {
        "empty answer": 1,
        "empty answer/basic": 1,
        "no option named": 1,
        "no option named/basic": 1,
    }


def test_exact_and_clean_grading_agree_on_plain_letters():
    assert choices.measure_exact("A", "A").result()["accuracy"] == 1
    assert choices.measure_exact("A.", "A").result()["accuracy"] == 0
    assert choices.measure_clean("A.", "A", OPTIONS).result()["accuracy"] == 1
    assert choices.measure_clean(" ", "A", OPTIONS).failures() == {"empty answer": 1}
    assert choices.measure_clean("who knows", "A", OPTIONS).failures() == {"no option named": 1}


def test_each_aspect_is_averaged_over_the_entries_that_have_it():
    tally = judged.measure("1. Subject Correspondence: 4\n2. Appearance Description: 2")
    tally += judged.measure("1. Subject Correspondence: 2.5") + judged.measure("none")
    tally += judged.measure(None)
    ours = judged.result(tally)
    assert (ours["Subject Correspondence"], ours["Appearance Description"]) == (3.25, 2)
    assert ours["All"] == 5.25 / 4
    assert tally.failures() == {"judgement without a score": 1, "no judgement": 1}


def test_the_clean_judge_asks_for_all_four_scores():
    whole = "\n".join(f"{i}. {a}: {i}" for i, a in enumerate(judged.ASPECTS, start=1))
    assert judged.result(judged.measure_clean(whole))["All"] == 2.5
    assert judged.measure_clean(whole.replace(": 4", ": 9")).failures()
    assert judged.measure_clean(None).failures() == {"no judgement": 1}


def test_shared_words_depend_on_case_as_published_only():
    assert phrases.word_iou("Dog.", "dog") == 0
    assert phrases.word_iou_clean("Dog.", "dog") == 1
    assert phrases.word_iou("a b", "b c") == 1 / 3
    assert phrases.word_iou("", " ") is None
    assert phrases.measure("", "").failures() == {"both phrases empty": 1}
    assert phrases.measure_clean("", "").result() == {"siou": 1.0}


def test_similarity_is_the_cosine_of_embeddings():
    vectors = {"x": np.array([1.0, 0.0]), "y": np.array([1.0, 1.0]), "": np.zeros(2)}
    similarity = phrases.cosine_of(vectors.__getitem__)
    assert similarity("x", "y") == pytest.approx(2**-0.5)
    assert similarity("x", "") == 0


def test_captions_refuse_an_image_twice_and_none_at_all():
    captions = Captions()
    captions.add("a", ["a dog"], "a cat")
    with pytest.raises(DataError, match="image a: expected once"):
        captions.merge(captions)
    with pytest.raises(DataError, match="at least one image"):
        Captions().result()


@pytest.mark.skipif(
    shutil.which("java") is None or find_spec("pycocoevalcap") is None,
    reason="METEOR needs Java and pycocoevalcap, which are not installed",
)
def test_the_scores_of_captions_lie_within_their_intervals():
    captions = Captions()
    said = ["a red mug on a table", "a small blue car", "a dog beside the tree", "a cat"]
    for number, text in enumerate(said * 3):
        words = text.split()
        changed = [*words[:-1], "thing"] if number % 3 else words  # some are said whole
        captions.add(f"{number:02d}", [text], " ".join(changed))
    figures, intervals = captions.result(), captions.intervals(draws=40)
    once = np.ones((1, len(captions.images)))  # drawing every image once is no drawing at all
    for name, of_draws in (("METEOR", meteor_of_draws), ("CIDEr", cider_of_draws)):
        low, high = intervals[name]
        assert low < figures[name] < high
        assert of_draws(*captions.read(), once)[0] == pytest.approx(figures[name], abs=1e-6)


def test_published_is_the_first_protocol_and_every_metric_has_a_clean_one():
    assert find_protocol("masks")[0] == "lisa"
    assert find_protocol("revos", "clean")[1].says
    assert all("clean" in known for known in PROTOCOLS.values())
    with pytest.raises(ConfigError, match='Did you mean "masks"'):
        find_protocol("mask")
    with pytest.raises(ConfigError, match='unknown protocol of masks "lisaa"'):
        find_protocol("masks", "lisaa")
