"""What each token of an answer is told to look for, against the text around it."""

import re
from itertools import groupby

import numpy as np
import pytest
import torch
from small_prima import SCENES, make_folder

from deixis.models.prima import PrimaModel, prima_tiny
from deixis.processing.prima import IGNORED, PrimaProcessor
from deixis.processing.words.prima_words import SPECIAL
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.samples import Question, Sample
from deixis.training.prima.prima_aims import NOTHING, UNTOLD, aims_of, deciding
from deixis.training.prima.prima_reading import PrimaSpeaking
from deixis.training.prima.prima_workshop import ready
from deixis.training.seeking import FEW

TEXT = "The red mug in image 1 and image 3 and the desk in image 2. There are 2."
WHERE = {"red mug in image 1 and image 3": (0, 2), "desk in image 2": (1,)}


def processor_of(name="after"):
    config = prima_tiny()
    config.image_name = name
    texts = [s.answer.text for scene in SCENES for s in scene.samples]
    return PrimaProcessor.from_texts(config, [TEXT, *texts] * 3)


def sample(text, where):
    images = ImageSet.pictures([Frame.from_array(np.zeros((9, 8, 3), np.uint8))] * 3)
    mask = Mask(np.ones((9, 8), bool))
    spans = tuple((text.index(phrase), text.index(phrase) + len(phrase)) for phrase in where)
    targets = tuple(
        Target(phrase=phrase, masks=dict.fromkeys(frames, mask)) for phrase, frames in where.items()
    )
    answer = GroundedAnswer(text=text, targets=targets, spans=spans)
    return Sample(images=images, question=Question(text="What is there?"), answer=answer)


def written(processor, ids):
    """Return tokens as text, special ones by name."""
    names = {getattr(processor.config, key): name for name, key in SPECIAL.items()}
    runs = groupby(ids, lambda token: names.get(token))
    return " ".join(
        name or processor.words.vocabulary.pieces.decode([t for t in run if t > 2])
        for name, run in runs
    ).strip()


def told(processor, given):
    """Return the answer in runs of one aim each: (text, aim)."""
    batch = processor.encode([given], with_truth=True)
    labels, aims = batch.truth.labels[0], aims_of(batch, processor.words)[0]
    assert torch.equal(aims > UNTOLD, (aims > UNTOLD) & (labels != IGNORED))
    pairs = zip(labels[labels != IGNORED].tolist(), aims[labels != IGNORED].tolist(), strict=True)
    runs = groupby(pairs, lambda pair: pair[1])
    return [(written(processor, [token for token, _ in run]), aim) for aim, run in runs]


def test_a_phrase_names_one_image_after_another_and_each_mask_is_its_own():
    first, second, closing, one, three, third, *_ = told(processor_of(), sample(TEXT, WHERE))
    assert first == ("The <p> red mug in image 1", 0)
    assert second == ("and image 3", 1)
    assert closing == ("</p>", NOTHING)
    assert one == ("[SEG] (IMAGE1)", 0)
    assert three == ("[SEG] (IMAGE3)", 1)
    assert third == ("and the <p> desk in image 2", 2)


def test_after_the_last_mask_nothing_is_left_and_the_rest_is_untold():
    *_, ending, drawn, stop, rest = told(processor_of(), sample(TEXT, WHERE))
    assert ending == ("</p>", NOTHING)
    assert drawn[1] == 2
    assert stop[1] == NOTHING
    assert rest[1] == UNTOLD
    assert f"{drawn[0]}{stop[0]} {rest[0]}".replace(" ", "") == "[SEG](IMAGE2).Thereare2."


def test_names_before_the_masks_belong_to_them():
    runs = told(processor_of("before"), sample(TEXT, WHERE))
    assert ("(IMAGE1) [SEG]", 0) in runs
    assert ("(IMAGE3) [SEG]", 1) in runs


def test_numbers_of_images_and_what_follows_them_decide():
    processor = processor_of()
    batch = processor.encode([sample(TEXT, WHERE)], with_truth=True)
    aims, labels = aims_of(batch, processor.words), batch.truth.labels
    runs = groupby(zip(aims[0].tolist(), range(aims.shape[1]), strict=True), lambda pair: pair[0])
    ends = set()
    for aim, run in runs:
        places = [place for _, place in run]
        ends |= {places[0], places[-1]} if aim > UNTOLD else set()
    assert set(torch.nonzero(deciding(aims)[0]).flatten().tolist()) == ends
    said = [written(processor, [token]) for token in labels[0][deciding(aims)[0]].tolist()]
    assert [one for one in said if one.isdigit()][:2] == ["1", "3"]
    assert said.count("and") == 2
    assert said.count("</p>") == 2
    assert "." in said
    assert "mug" not in said


@pytest.mark.parametrize("text", ["Nothing red is there.", "The answer is image 2."])
def test_an_answer_without_masks_is_not_told_where_to_look(text):
    assert told(processor_of(), sample(text, {})) == [(text, UNTOLD)]


def test_answers_about_scenes_agree_with_a_search_of_all_that_is_written_before():
    processor = processor_of()
    given = [s for scene in SCENES for s in scene.samples if not s.question.prompts]
    batch = processor.encode(given, with_truth=True)
    aims, before, some = aims_of(batch, processor.words), 0, 0
    for labels, own, row in zip(batch.truth.labels, aims, range(len(given)), strict=True):
        ids = labels[labels != IGNORED].tolist()
        slots = int((batch.slots.row == row).sum())
        for at, aim in enumerate(own[labels != IGNORED].tolist()):
            wanted = slow(written(processor, ids[:at]), written(processor, ids[at:]), slots)
            assert aim == (wanted + before if wanted >= 0 else wanted)
            some += wanted >= 0
        before += slots
    assert some > 50


def slow(said, coming, slots):
    """What comes next by the text before it and all that follows."""
    done = said.count("[SEG]")
    if said.count("<p>") > said.count("</p>"):
        named = len(re.findall(r"image \d", said[said.rindex("<p>") :]))
        after = coming[coming.index("</p>") :].partition("<p>")[0].count("[SEG]")
        return done + named if named < after else NOTHING
    if done and not re.search(r"IMAGE\d", said[said.rindex("[SEG]") :]):
        return done - 1 + coming.startswith("[SEG]")
    if done < slots:
        return done
    since = said[said.rindex("[SEG]") :] if done else ""
    return NOTHING if done and re.fullmatch(r"\[SEG\] \(IMAGE\d+\)?", since) else UNTOLD


def test_who_looks_everywhere_misses_all_aims_alike_and_the_first_state_counts_most(tmp_path):
    folder = make_folder(tmp_path / "model")
    model = ready(PrimaModel.from_pretrained(folder)).eval()
    objective = PrimaSpeaking(PrimaProcessor.from_pretrained(folder, model.config))
    batch = objective.collate(SCENES)
    with torch.no_grad():
        for layer in model.language.model.layers[-2:]:
            layer.self_attn.q_proj.base_layer.weight.zero_()  # so every column is seen alike
        missed = objective(model, batch)["sought"] / objective.weights["sought"]
        seen = model.see(batch.asked)
        wanted = objective._wanted(objective._columns(seen, batch.asked), seen, batch.asked)
    assert wanted[NOTHING].nonzero().tolist() == [[0]]
    total = count = 0.0
    for row, aims in enumerate(batch.aims.tolist()):
        ends = seen.lengths[row].cumsum(0).tolist()
        told = [(ends[at - 1], aim) for at, aim in enumerate(aims) if aim > UNTOLD]
        for _, run in groupby(told, lambda pair: pair[1]):
            lost = [np.log(columns) for columns, _ in run]
            first = max(len(lost), FEW)
            total += first * lost[0] + sum(lost[1:])
            count += first + len(lost) - 1
    assert NOTHING in batch.aims
    assert float(missed) == pytest.approx(total / count, rel=1e-4)
