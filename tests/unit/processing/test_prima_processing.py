"""PRIMA's words and views: what is written is read back, and every mask finds its image or is
said to be left out."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deixis.errors import DataError, ShapeError
from deixis.models.configs.prima_config import prima_tiny
from deixis.processing.batch import Output
from deixis.processing.frames.prima_pixels import eva_pixels, sam_masks, sam_pixels, sam_placement
from deixis.processing.prima import PrimaProcessor
from deixis.processing.words.prima_words import image_list
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.prompts import Point
from deixis.structures.samples import Question, Sample

TEXTS = [
    "Which of the mugs in image 2 is full?",
    "I see a red mug, a desk's drawer and two kites. There are 3.",
]
SIZES = [(30, 47), (52, 33), (41, 41)]


@pytest.fixture(scope="module")
def processor():
    return PrimaProcessor.from_texts(prima_tiny(), TEXTS)


@pytest.fixture(scope="module")
def named_first():
    config = prima_tiny()
    config.image_name = "before"
    return PrimaProcessor.from_texts(config, TEXTS)


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return ImageSet.pictures(
        [Frame.from_array(random.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in SIZES]
    )


def box(size, top, left, bottom, right):
    pixels = np.zeros(size, dtype=bool)
    pixels[top:bottom, left:right] = True
    return Mask(pixels)


def answer(text, *named):
    """An answer of (phrase, images) in order of the text."""
    spans, targets, at = [], [], 0
    for number, (phrase, places) in enumerate(named):
        at = text.index(phrase, at)
        spans.append((at, at + len(phrase)))
        at += len(phrase)
        masks = {i: box(SIZES[i], 2 + number, 3, 20, 25) for i in places}
        targets.append(Target(phrase=phrase, masks=masks))
    return GroundedAnswer(text=text, targets=tuple(targets), spans=tuple(spans))


def ids_of(processor, text):
    """Tokens of an answer as a model might write it, special tokens and all."""
    return [*processor.words.vocabulary.encode(text), processor.words.vocabulary.eos]


# -- the prompt --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, "The @ (IMAGE1) provides an overview of the picture.\n"),
        (2, "The @ (IMAGE1) and @ (IMAGE2) provide an overview of the pictures.\n"),
        (
            3,
            "The @ (IMAGE1), @ (IMAGE2), and @ (IMAGE3) provide an overview of the pictures.\n",
        ),
    ],
)
def test_the_prompt_lists_images_as_published(count, expected):
    assert image_list(count) == expected.replace("@", "<im_start><image><im_end>")


@pytest.mark.parametrize("count", range(1, 10))
def test_every_image_has_one_placeholder_between_its_marks(processor, count):
    config, ids = processor.config, processor.words.prompt("What?", count)
    places = [at for at, token in enumerate(ids) if token == config.image_token]
    assert len(places) == count
    assert all(ids[at - 1] == config.image_start_token for at in places)
    assert all(ids[at + 1] == config.image_end_token for at in places)
    assert ids[0] == processor.words.vocabulary.bos


def test_what_a_person_types_is_no_special_token(processor):
    config = processor.config
    ids = processor.words.prompt("a <image> or [SEG] or <p> or </s>?", 2)
    special = {config.seg_token, config.phrase_token, processor.words.vocabulary.eos}
    assert not special & set(ids)
    assert ids.count(config.image_token) == 2


@pytest.mark.parametrize(
    ("view", "second", "others"),
    [
        ("set", "image 2", "image 2"),
        ("image", "this image", "another image"),
    ],
)
def test_an_image_may_read_the_question_as_it_hears_it(images, view, second, others):
    config = prima_tiny()
    config.question_view = view
    reading = PrimaProcessor.from_texts(config, TEXTS)
    samples = [
        Sample(images=images, question=Question(text=text)) for text in (TEXTS[0], "Is it red?")
    ]
    batch = reading.encode(samples)
    read = [
        reading.words.asker.decode(ids[held].tolist())
        for ids, held in zip(batch.text, batch.text_held, strict=True)
    ]
    heard = [f"which of the mugs in {name} is full?" for name in (others, second, others)]
    assert [one.replace(" ?", "?") for one in read[:3]] == heard
    assert read[3] == read[4] == read[5]
    assert len(read) == 6


def test_a_long_question_keeps_its_end_for_the_q_former(processor):
    ids = processor.words.asked("mug " * 200 + "kites?", 0)
    assert len(ids) == processor.config.most_question
    kites = processor.words.asked("kites?", 0)
    assert ids[0] == kites[0]
    assert ids[-len(kites) + 1 :] == kites[1:]


# -- answers -----------------------------------------------------------------------------------

GIVEN = answer(
    "I see a red mug, a desk's drawer and two kites. There are 3.",
    ("a red mug", (0, 2)),
    ("a desk's drawer", (1,)),
    ("two kites", (1,)),
)


@pytest.mark.parametrize("which", ["processor", "named_first"])
def test_a_written_answer_is_read_back(which, request):
    one = request.getfixturevalue(which)
    ids, known = one.words.written(TEXTS[0], 3, GIVEN)
    assert ids[:known] == one.words.prompt(TEXTS[0], 3)
    said = one.words.read(ids[known:], 3)
    assert said.text == GIVEN.text
    assert said.phrases == GIVEN.spans
    assert [slot.image for slot in said.slots] == [0, 2, 1, 1]
    assert [slot.phrase for slot in said.slots] == [0, 0, 1, 2]
    assert all(ids[known + slot.column] == one.config.seg_token for slot in said.slots)


@given(
    phrases=st.lists(
        st.tuples(
            st.sampled_from(["a mug", "the desk's drawer", "two red kites", "x [SEG] </p>"]),
            st.sets(st.integers(0, 2), min_size=1),
        ),
        min_size=0,
        max_size=4,
    ),
    joint=st.sampled_from([" and ", ", ", ". Then "]),
)
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("which", ["processor", "named_first"])
def test_whatever_is_named_wherever_it_is_read_back(which, request, phrases, joint):
    one = request.getfixturevalue(which)
    text, spans, targets = "I see ", [], []
    for number, (phrase, places) in enumerate(phrases):
        text += joint if number else ""
        spans.append((len(text), len(text) + len(phrase)))
        text += phrase
        masks = {i: box(SIZES[i], 1, 1, 9, 9) for i in places}
        targets.append(Target(phrase=phrase, masks=masks))
    whole = GroundedAnswer(text=f"{text}.", targets=tuple(targets), spans=tuple(spans))
    ids, known = one.words.written("?", 3, whole)
    said = one.words.read(ids[known:], 3)
    assert [slot.image for slot in said.slots] == [i for t in targets for i in sorted(t.masks)]
    assert said.text == whole.text.replace("I see .", "I see.").replace("  ", " ") or not phrases
    assert said.phrases == whole.spans


CASES = {
    "identifiers": ("<p> mug_2 </p> [SEG] (IMAGE2)", 3, "mug", [1]),
    "stray parenthesis": ("<p> mug </p> [SEG] (IMAGE2))", 3, "mug", [1]),
    "a later mention": ("<p> mug </p> [SEG] (IMAGE1). The <p> mug </p> (IMAGE1) is red", 3,
                        "mug. The mug is red", [0]),
    "two of one phrase": ("<p> mugs </p> [SEG] (IMAGE1) [SEG] (IMAGE1)", 3, "mugs", [0, 0]),
    "longest number first": ("<p> mug </p> [SEG] (IMAGE12)", 3, "mug", [None]),
    "spaces and small letters": ("<p> mug </p> [SEG] ( image 3 )", 3, "mug", [2]),
    "spoken of before": ("In Image 2, <p> mug </p> [SEG] is", 3, "In Image 2, mug is", [1]),
    "the later of two": ("Image 1, Image 3: <p> mug </p> [SEG]", 3, "Image 1, Image 3: mug", [2]),
    "the next phrase's name": ("<p> a </p> [SEG] <p> b </p> [SEG] (IMAGE2)", 3, "a b", [None, 1]),
    "the only image": ("<p> mug </p> [SEG]", 1, "mug", [0]),
    "no image at all": ("<p> mug </p> [SEG]", 3, "mug", [None]),
    "an image that is not there": ("<p> mug </p> [SEG] (IMAGE7)", 3, "mug", [None]),
    "image 0": ("<p> mug </p> [SEG] (IMAGE0)", 3, "mug", [None]),
    "wrong for the only one": ("<p> mug </p> [SEG] (IMAGE2)", 1, "mug", [None]),
    "no phrase": ("Yes. [SEG] (IMAGE3)", 3, "Yes.", [2]),
    "an open phrase": ("<p> mug [SEG] (IMAGE3)", 3, "mug", [2]),
    "nothing": ("", 3, "", []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_image_of_a_mask_is_found_by_the_rules_of_the_specification(processor, case):
    written, count, text, images = CASES[case]
    said = processor.words.read(ids_of(processor, written), count)
    assert said.text == text
    assert [slot.image for slot in said.slots] == images


def test_with_the_name_first_the_name_before_the_mask_counts(named_first):
    written = "<p> a </p> (IMAGE3) [SEG] and <p> b </p> (IMAGE1) [SEG] (IMAGE2)"
    said = named_first.words.read(ids_of(named_first, written), 3)
    assert [slot.image for slot in said.slots] == [2, 0]


@given(ids=st.lists(st.integers(-300, 1200), max_size=40), count=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_any_tokens_can_be_read(processor, ids, count):
    said = processor.words.read(ids, count)
    assert all(slot.image is None or slot.image < count for slot in said.slots)
    assert all(0 <= a < b <= len(said.text) for a, b in said.phrases)


def test_text_that_is_being_written_only_grows(processor):
    ids = ids_of(processor, "I see <p> a mug_1 </p> [SEG] (IMAGE2), and <p> b </p> (IMAGE1) too.")
    told = [processor.words.so_far(ids[:n]) for n in range(len(ids) + 1)]
    assert all(b.startswith(a) for a, b in pairwise(told))
    assert told[-1] == "I see a mug, and b too."


# -- batches -----------------------------------------------------------------------------------


def test_slots_masks_and_labels_are_those_of_the_answer(processor, images):
    other = Sample(images=images, question=Question(text="Where?"), answer=answer("No."))
    first = Sample(images=images, question=Question(text=TEXTS[0]), answer=GIVEN)
    batch = processor.encode([other, first], with_truth=True)
    assert len(batch.pixels) == 3  # one set, asked about twice
    assert batch.slots.row.tolist() == [1, 1, 1, 1]
    assert batch.slots.frame.tolist() == [0, 2, 1, 1]
    assert batch.truth.alike.tolist() == [0, 0, 1, 2]
    expected = [GIVEN.targets[t].masks[i] for t, i in ((0, 0), (0, 2), (1, 1), (2, 1))]
    for mask, true in zip(batch.truth.masks, expected, strict=True):
        assert torch.equal(mask, torch.from_numpy(true.pixels).float())
    at = batch.slots.row, batch.slots.column
    assert (batch.tokens[at] == processor.config.seg_token).all()
    assert (batch.truth.labels[at] == processor.config.seg_token).all()


def test_an_answer_that_is_too_long_is_cut_with_its_masks(images):
    config = prima_tiny()
    processor = PrimaProcessor.from_texts(config, TEXTS)
    sample = Sample(images=images, question=Question(text="?"), answer=GIVEN)
    whole, known = processor.words.written("?", 3, GIVEN)
    second = [at for at, token in enumerate(whole) if token == config.seg_token][1]
    config.most_tokens = second + 1 + (config.num_queries - 1) * 3
    batch = processor.encode([sample], with_truth=True)
    assert batch.tokens[0].tolist() == whole[: second + 1]
    assert batch.slots.frame.tolist() == [0, 2]
    config.most_tokens = known - 1
    with pytest.raises(DataError, match=r"question: expected at most .* tokens .* got \d+"):
        processor.encode([sample])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 10}, "images: expected 1 to 9 for this model, got 10"),
        ({"text": "What is in image 7?"}, "question: expected images 1 to 3, got image 7"),
        ({"prompts": (Point(image=0, x=3, y=4),)}, "prompts: expected none, got 1"),
        ({"clip": True}, "images: expected pictures, got a clip"),
    ],
)
def test_what_prima_cannot_read_is_refused_in_words(processor, images, change, message):
    frames = [images[0]] * change.get("count", 3)
    asked = ImageSet.pictures(frames)
    if "clip" in change:
        asked = ImageSet.clip(frames, [0.0, 0.1, 0.2])
    question = Question(text=change.get("text", "What?"), prompts=change.get("prompts", ()))
    with pytest.raises(DataError, match=message):
        processor.encode([Sample(images=asked, question=question)])


def test_placeholders_and_images_must_agree(processor, images):
    batch = processor.encode([Sample(images=images, question=Question(text="?"))])
    with pytest.raises(ShapeError, match=r"expected \[3\] placeholders in the rows, got \[0\]"):
        replace(batch, images=torch.zeros_like(batch.images))


# -- back to the images ------------------------------------------------------------------------


def drawn(processor, written, batch):
    """What a model would return for these tokens: its target number as a square of the canvas."""
    slots = processor.slots([written], batch)
    logits = torch.full((len(slots.frame), 32, 32), -5.0)
    for number in range(len(logits)):
        logits[number, 2 : 6 + number, 3:9] = 5.0
    count = torch.arange(len(logits))
    return Output(
        mask_logits=logits, target=count, frame=slots.frame,
        presence=torch.ones(len(count), 3), score=torch.linspace(0.2, 0.8, len(count)),
    )  # fmt: skip


def test_masks_come_back_in_the_image_they_name_and_one_phrase_is_one_target(processor, images):
    batch = processor.encode([Sample(images=images, question=Question(text="?"))])
    mugs = "<p> mug </p> [SEG] (IMAGE3) [SEG] (IMAGE1) [SEG] (IMAGE1)"
    written = ids_of(processor, f"{mugs} and <p> b </p> [SEG] (IMAGE2)")
    output = drawn(processor, written, batch)
    (said,) = processor.decode([written], output, batch)
    assert [sorted(t.masks) for t in said.targets] == [[0, 2], [0], [1]]
    assert [t.phrase for t in said.targets] == ["mug", "mug", "b"]
    assert [said.text[a:b] for a, b in said.spans] == ["mug", "mug", "b"]
    assert said.caution is None
    for number, (target, image) in enumerate(((0, 2), (0, 0), (1, 0), (2, 1))):
        mask = said.targets[target].masks[image]
        assert mask.size == SIZES[image]
        expected = sam_masks(output.mask_logits[number][None], batch.placements[image])[0] > 0
        assert np.array_equal(mask.pixels, expected.numpy())


def test_masks_without_an_image_are_left_out_and_said_to_be(processor, images):
    batch = processor.encode([Sample(images=images, question=Question(text="?"))])
    written = ids_of(
        processor, "<p> a </p> [SEG] <p> b </p> [SEG] (IMAGE2) <p> c </p> [SEG] (IMAGE7)"
    )
    (said,) = processor.decode([written], drawn(processor, written, batch), batch)
    assert [t.phrase for t in said.targets] == ["b"]
    assert [t.phrase for t in said.absent] == ["a", "c"]
    assert said.caution == "2 of 3 masks left out: they name no image, image 7 of 3."


def test_a_mask_that_no_words_name_gets_a_name(processor, images):
    batch = processor.encode([Sample(images=images, question=Question(text="?"))])
    written = ids_of(processor, "Yes. [SEG] (IMAGE1)")
    (said,) = processor.decode([written], drawn(processor, written, batch), batch)
    assert said.text == "Yes. target 1"
    assert said.text[slice(*said.spans[0])] == said.targets[0].phrase == "target 1"


# -- views -------------------------------------------------------------------------------------


def test_both_views_are_those_of_pillow_and_the_published_constants(images):
    frame = images[1]
    eva = eva_pixels(frame, 42)
    resized = Image.fromarray(frame.pixels).resize((42, 42), Image.Resampling.BICUBIC)
    expected = (np.array(resized) / 255 - (0.48145466, 0.4578275, 0.40821073)) / (
        0.26862954, 0.26130258, 0.27577711,
    )  # fmt: skip
    np.testing.assert_allclose(eva.numpy(), expected.transpose(2, 0, 1), atol=1e-5)
    canvas, placement = sam_pixels(frame, 64)
    assert placement.resized == (64, 41)  # 33 * 64 / 52 = 40.6
    resized = Image.fromarray(frame.pixels).resize((41, 64), Image.Resampling.BILINEAR)
    expected = (np.array(resized) - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375)
    np.testing.assert_allclose(canvas[:, :, :41].numpy(), expected.transpose(2, 0, 1), atol=1e-5)
    assert not canvas[:, :, 41:].any()


def test_sides_are_rounded_half_up():
    assert sam_placement((2, 128), 64).resized == (1, 64)
    assert sam_placement((5, 128), 64).resized == (3, 64)  # 2.5
    assert sam_placement((1, 1000), 64).resized == (1, 64)


@given(height=st.integers(8, 90), width=st.integers(8, 90))
@settings(max_examples=25, deadline=None)
def test_a_mask_of_the_canvas_comes_back_to_where_it_was(height, width):
    placement = sam_placement((height, width), 64)
    cells = torch.full((1, 32, 32), -1.0)
    rows, columns = (side / 2 for side in placement.resized)
    cells[0, : int(rows / 2), : int(columns / 2)] = 1.0
    back = sam_masks(cells, placement)[0]
    assert back.shape == (height, width)
    bottom, right = (2 * int(side / 2) / full for side, full in
                     ((rows, placement.resized[0]), (columns, placement.resized[1])))
    edge_y, edge_x = bottom * height, right * width
    slack_y, slack_x = 1 + 2 * height / placement.resized[0], 1 + 2 * width / placement.resized[1]
    inside = back[: max(0, int(edge_y - slack_y)), : max(0, int(edge_x - slack_x))]
    assert (inside > 0).all()
    assert (back[int(edge_y + slack_y) :] < 0).all()
    assert (back[:, int(edge_x + slack_x) :] < 0).all()
