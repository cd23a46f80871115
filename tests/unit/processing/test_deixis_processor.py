"""Samples to tensors and back: every slot, frame and mask at its place, every fault in words."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from deixis.errors import WeightsError
from deixis.models.deixis import deixis_tiny
from deixis.processing.batch import Batch, Output
from deixis.processing.deixis import STRIDE, DeixisProcessor
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.placement import Placement
from deixis.structures.prompts import Box, Point, Region
from deixis.structures.samples import Question, Sample

CANVAS = (64, 64)
CELLS = 32


@pytest.fixture(scope="module")
def processor(tiny) -> DeixisProcessor:
    return tiny[1]


def picture(height: int, width: int, seed: int = 0) -> Frame:
    random = np.random.default_rng(seed)
    return Frame.from_array(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def ask(images, text: str = "what is this?", *prompts, answer=None) -> Sample:
    if not isinstance(images, ImageSet):
        images = ImageSet.pictures(images)
    return Sample(images=images, question=Question(text=text, prompts=prompts), answer=answer)


def box_mask(size: tuple[int, int], top: int, left: int, bottom: int, right: int) -> Mask:
    pixels = np.zeros(size, dtype=bool)
    pixels[top:bottom, left:right] = True
    return Mask(pixels)


def said(processor: DeixisProcessor, batch: Batch, row: int) -> str:
    """The words of a question, slots shown as ?."""
    words = processor.vocabulary
    ids = batch.question[row, batch.asked[row]].tolist()[1:]
    pieces = [[]]
    for token in ids:
        if token in (words.ref, words.mem):
            pieces.append([])
        else:
            pieces[-1].append(token)
    return "?".join(words.tokenizer.decode(p, skip_special_tokens=False) for p in pieces).strip()


# -- forward --------------------------------------------------------------------------------


def test_frames_know_their_set_their_image_and_their_moment(processor):
    clip = ImageSet.clip([picture(20, 30, i) for i in range(3)], (1.0, 2.0, 5.0))
    mixed = ImageSet.join([ImageSet.pictures([picture(64, 64)]), clip])
    batch = processor.encode([ask(mixed), ask([picture(9, 9), picture(8, 8)]), ask(mixed)])
    layout = batch.layout
    assert layout.set.tolist() == [0, 0, 0, 0, 1, 1]
    assert layout.image.tolist() == [0, 1, 1, 1, 0, 1]
    assert layout.time.tolist() == [0, 0, 0.25, 1, 0, 0]
    assert layout.clip.tolist() == [False, True, True, True, False, False]
    assert layout.num_images.tolist() == [2, 2]
    assert batch.set_of_row.tolist() == [0, 1, 0]  # the third asks about the first's images


def test_questions_are_lower_case_padded_and_nothing_is_lost(processor):
    batch = processor.encode([ask([picture(9, 9)], "Where?"), ask([picture(8, 8)], "The RED mug…")])
    assert [said(processor, batch, row) for row in (0, 1)] == ["where?", "the red mug…"]
    assert (batch.question[~batch.asked] == processor.vocabulary.pad).all()
    assert (batch.question[:, 0] == processor.vocabulary.bos).all()


@pytest.mark.parametrize("size", [(64, 64), (32, 128), (128, 48), (300, 200), (5, 9)])
@pytest.mark.parametrize(("y", "x"), [(0.02, 0.02), (0.5, 0.75), (0.97, 0.97)])
def test_a_point_lands_in_its_cell(processor, size, y, x):
    point = Point(image=0, x=x * size[1], y=y * size[0], object_id=1)
    slots = processor.encode([ask([picture(*size)], "what is [1]?", point)]).prompts
    height, width = Placement.fit(size, CANVAS).resized
    expected = torch.tensor([x * width / CANVAS[1], y * height / CANVAS[0]])
    torch.testing.assert_close(slots.coords[0], expected.expand(2, -1))
    row, column = slots.masks[0].nonzero()[0].tolist()
    assert slots.masks[0].sum() == 1
    assert (row, column) == (int(expected[1] * CELLS), int(expected[0] * CELLS))
    assert slots.kind.tolist() == [0]


def test_a_point_in_the_last_pixel_of_a_small_picture_stays_in_that_pixel(processor):
    point = Point(image=0, x=1.9, y=0.9, object_id=1)  # of 3 x 2 pixels, each 21 x 21 on the canvas
    slots = processor.encode([ask([picture(2, 3)], "[1]", point)]).prompts
    row, column = slots.masks[0].nonzero()[0].tolist()
    assert (row * STRIDE // 21, column * STRIDE // 21) == (0, 1)


def test_a_box_covers_its_cells(processor):
    box = Box(image=0, x0=20, y0=40, x1=60, y1=80)  # of 200 x 100, so 0.32 of it on the canvas
    slots = processor.encode([ask([picture(200, 100)], "[1]", box)]).prompts
    expected = torch.tensor([[20, 40], [60, 80]]) * 0.32 / 64
    torch.testing.assert_close(slots.coords[0], expected)
    rows, columns = slots.masks[0].nonzero(as_tuple=True)
    assert (rows.min(), rows.max() + 1) == (6, 13)  # 40 and 80 at 0.32 in cells of 2
    assert (columns.min(), columns.max() + 1) == (3, 10)
    assert slots.kind.tolist() == [1]


def test_a_region_covers_its_cells_and_knows_its_corners(processor):
    region = Region(image=0, mask=box_mask((128, 64), 32, 8, 96, 40))
    slots = processor.encode([ask([picture(128, 64)], "[1]", region)]).prompts
    torch.testing.assert_close(slots.coords[0], torch.tensor([[4, 16], [20, 48]]) / 64)
    assert slots.masks[0].sum() == pytest.approx((20 - 4) * (48 - 16) / STRIDE**2, rel=0.05)
    assert slots.kind.tolist() == [2]


def test_slots_stand_behind_their_handles_in_rows_of_a_batch(processor):
    frames = [picture(64, 64, i) for i in range(3)]
    first = ask(frames[:1], "what?")
    second = ask(
        frames[1:],
        "Is [2] left of [1]? And [2]?",
        Point(image=1, x=3, y=4, object_id=1),
        Region(image=0, mask=box_mask((64, 64), 0, 0, 9, 9), object_id=2),
    )
    batch = processor.encode([first, second])
    assert said(processor, batch, 1) == "is [2]? left of [1]?? and [2]?"
    assert batch.prompts.row.tolist() == [1, 1]
    assert batch.prompts.frame.tolist() == [1, 2]  # flat frames of the batch
    assert batch.prompts.kind.tolist() == [2, 0]
    places = batch.question[batch.prompts.row, batch.prompts.column].tolist()
    assert places == [processor.vocabulary.mem, processor.vocabulary.ref]


def test_names_become_numbers_and_prompts_that_no_word_mentions_come_first(processor):
    prompts = [
        Point(image=0, x=1, y=1),
        Point(image=0, x=2, y=2, name="cup"),
        Point(image=0, x=3, y=3, object_id=2),
        Point(image=0, x=4, y=4, name="cup"),
    ]
    batch = processor.encode([ask([picture(9, 9)], "is [cup] here?", *prompts)])
    assert said(processor, batch, 0) == "[1]? [2]? is [3]?? here?"
    assert (batch.prompts.coords[:, 0, 0] * 9).round().tolist() == [1, 3, 2, 4]


def test_of_a_question_that_is_too_long_whole_sentences_are_read_and_what_is_pointed_at(processor):
    point = Point(image=0, x=1, y=1, object_id=1)
    long = "why not? " * 1200
    batch = processor.encode([ask([picture(9, 9)], long + "[1]", point), ask([picture(9, 9)])])
    assert batch.shortened == (True, False)
    assert processor.config.most_question - 8 < batch.question.shape[1]
    assert batch.question.shape[1] <= processor.config.most_question
    start, text = said(processor, batch, 0).split("?", 1)
    assert start == "[1]"
    assert set(text.split("?")) == {" why not", ""}  # no sentence is cut
    assert len(batch.prompts.row) == 1


@pytest.mark.parametrize("text", ["zebra " * 1000, "Hi. " + "zebra " * 1000])
def test_where_one_sentence_is_too_long_whole_words_are_read(processor, text):
    batch = processor.encode([ask([picture(9, 9)], text)])
    words = said(processor, batch, 0).split()
    assert batch.shortened == (True,)
    assert text.lower().split()[: len(words)] == words
    assert batch.question.shape[1] > processor.config.most_question - 8


def test_where_one_word_is_too_long_whole_letters_are_read(processor):
    batch = processor.encode([ask([picture(9, 9)], "\N{SNOWMAN}" * 1000)])
    assert set(said(processor, batch, 0)) == {"\N{SNOWMAN}"}


def test_more_prompts_than_a_question_can_hold_are_cut_too(processor):
    points = [Point(image=0, x=1, y=1, object_id=i) for i in range(1, 300)]
    batch = processor.encode([ask([picture(9, 9)], "what?", *points)])
    assert batch.shortened == (True,)
    assert batch.question.shape[1] == processor.config.most_question
    assert 0 < len(batch.prompts.row) < 300


def test_typed_special_tokens_make_no_slots(processor):
    batch = processor.encode([ask([picture(9, 9)], "<ref><mem></s><seg0>")])
    special = {processor.vocabulary.ref, processor.vocabulary.mem, processor.vocabulary.eos}
    assert not special & set(batch.question.flatten().tolist())
    assert said(processor, batch, 0) == "<ref><mem></s><seg0>"


# -- the truth, and the way back ------------------------------------------------------------


def test_the_truth_knows_whose_each_mask_is_and_where(processor):
    size = (64, 64)
    masks = [box_mask(size, 0, 0, 20, 20), box_mask(size, 30, 30, 60, 50)]
    there = GroundedAnswer(
        text="The red mug and the blue kite.",
        targets=(
            Target(phrase="red mug", masks={1: masks[0]}),
            Target(phrase="blue kite", masks={0: masks[1], 1: masks[1]}),
        ),
        spans=((4, 11), (20, 29)),
    )
    nowhere = GroundedAnswer(text="No kite.", absent=(Target(phrase="kite", masks={}),))
    plain = GroundedAnswer(text="Yes.", conclusion="Yes")
    samples = [
        ask([picture(*size)], answer=nowhere),
        ask([picture(*size), picture(*size)], answer=there),
        ask([picture(*size)], answer=plain),
    ]
    truth = processor.encode(samples, with_truth=True).truth
    assert (truth.row.tolist(), truth.order.tolist()) == ([0, 1, 1], [0, 0, 1])
    assert (truth.target.tolist(), truth.frame.tolist()) == ([1, 2, 2], [2, 1, 2])
    areas = truth.masks.sum((1, 2)) * processor.config.mask_stride**2
    torch.testing.assert_close(areas, torch.tensor([400.0, 600.0, 600.0]))
    assert truth.pointing.tolist() == [True, True, False]
    assert truth.tokens[2, :2].tolist() != [processor.config.group_token] * 2


def test_targets_whose_groups_do_not_fit_an_answer_are_left_out(processor):
    most = processor.config.most_answer // processor.config.group_size
    many = GroundedAnswer(
        text="kite " * (most + 4),
        absent=tuple(Target(phrase="kite", masks={}) for _ in range(most + 4)),
    )
    truth = processor.encode([ask([picture(9, 9)], answer=many)], with_truth=True).truth
    assert truth.order.tolist() == list(range(most))
    assert truth.tokens.shape[1] == processor.config.most_answer


def test_true_masks_come_back_through_the_truth(processor):
    sizes = [(64, 64), (40, 90), (150, 101)]
    masks = [box_mask((h, w), h // 5, w // 4, h // 2, w - w // 5) for h, w in sizes]
    answer = GroundedAnswer(
        text="mug",
        targets=(Target(phrase="mug", masks=dict(enumerate(masks))),),
        spans=((0, 3),),
    )
    sample = ask([picture(*size) for size in sizes], answer=answer)
    batch = processor.encode([sample], with_truth=True)
    back = processor.targets([(drawn(batch), 0)], torch.ones(1, 3), batch)[0]
    for frame, mask in enumerate(masks):
        one, other = back.masks[frame].pixels, mask.pixels
        assert one.shape == other.shape
        assert (one & other).sum() / (one | other).sum() > 0.9


def drawn(batch: Batch) -> Output:
    """What a model would return that draws exactly the truth."""
    truth = batch.truth
    return Output(
        mask_logits=truth.masks - 0.5,
        target=truth.target,
        frame=truth.frame,
        presence=torch.ones(len(truth.row), 1),
        score=torch.full((len(truth.row),), 0.7),
    )


def test_masks_are_left_out_where_the_presence_says_no_or_nothing_was_drawn(processor):
    batch = processor.encode([ask([picture(9, 9)]), ask([picture(8, 8), picture(7, 7)])])
    logits = torch.full((4, CELLS, CELLS), 1.0)
    logits[3] = -1.0
    output = Output(
        mask_logits=logits,
        target=torch.tensor([0, 1, 1, 2]),
        frame=torch.tensor([0, 1, 2, 2]),
        presence=torch.tensor([]),
        score=torch.tensor([0.1, 0.2, 0.3]),
    )
    presence = torch.tensor([[0.4, 0.0], [0.3, 0.9], [0.0, 0.8]])
    targets = processor.targets([(output, 0)], presence, batch)
    assert [list(targets[i].masks) for i in range(3)] == [[], [1], []]
    assert targets[1].masks[1].size == (7, 7)
    assert [t.presence for t in targets.values()] == pytest.approx([0.4, 0.9, 0.8])
    assert targets[1].score == pytest.approx(0.2)
    assert targets[0].score is targets[2].score is None


def decoded(processor, text: str, targets: int, *names: str, conclusion=None, empty=()):
    words = GroundedAnswer(
        text=text,
        targets=tuple(Target(phrase=n, masks={0: box_mask((2, 2), 0, 0, 1, 1)}) for n in names),
        spans=tuple((text.index(n), text.index(n) + len(n)) for n in names),
        conclusion=conclusion,
    )
    full = {0: box_mask((2, 2), 0, 0, 2, 2)}
    pointed = [
        Target(phrase="", masks={} if i in empty else full, score=0.5, presence=0.9)
        for i in range(targets)
    ]
    return processor.decode(processor.vocabulary.write(words), pointed)


def test_names_meet_their_targets_in_order(processor):
    answer = decoded(
        processor, "The red mug and the kite. Two.", 2, "red mug", "kite", conclusion="Two"
    )
    assert [t.phrase for t in answer.targets] == ["red mug", "kite"]
    assert [answer.text[a:b] for a, b in answer.spans] == ["red mug", "kite"]
    assert (answer.conclusion, answer.absent) == ("Two", ())


def test_a_target_that_no_words_name_gets_a_phrase_in_the_text(processor):
    answer = decoded(processor, "The red mug.", 3, "red mug")
    assert answer.text == "The red mug. target 2 target 3"
    assert [t.phrase for t in answer.targets] == ["red mug", "target 2", "target 3"]
    assert [answer.text[a:b] for a, b in answer.spans] == ["red mug", "target 2", "target 3"]
    assert decoded(processor, "", 1).text == "target 1"


def test_a_target_without_a_mask_is_absent_and_the_others_keep_their_names(processor):
    answer = decoded(processor, "The red mug and the kite.", 2, "red mug", "kite", empty={0})
    assert [t.phrase for t in answer.targets] == ["kite"]
    assert [t.phrase for t in answer.absent] == ["red mug"]
    assert (answer.absent[0].presence, answer.absent[0].score) == (0.9, None)


def test_more_names_than_targets_leave_words_only(processor):
    answer = decoded(processor, "The red mug and the kite.", 1, "red mug", "kite")
    assert answer.text == "The red mug and the kite."
    assert [t.phrase for t in answer.targets] == ["red mug"]


# -- files ----------------------------------------------------------------------------------


def test_a_saved_processor_encodes_the_same(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = DeixisProcessor.from_pretrained(tmp_path, processor.config)
    sample = ask([picture(9, 9)], "Where is the red mug, [1]?", Point(image=0, x=1, y=2))
    assert torch.equal(loaded.encode([sample]).question, processor.encode([sample]).question)
    assert loaded.known_words == processor.known_words


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("tokenizer.json", None, "No such file"),
        ("tokenizer.json", '{"model": ', "Expecting value"),
        ("tokenizer.json", "[]", "got other JSON"),
        ("words.json", None, "No such file"),
        ("words.json", "{}", "expected a list of words"),
        ("words.json", json.dumps(["mug", 3]), "expected a list of words"),
    ],
)
def test_a_broken_processor_is_refused_in_words(processor, tmp_path, file, content, said):
    processor.save_pretrained(tmp_path)
    (tmp_path / file).unlink() if content is None else (tmp_path / file).write_text(content)
    with pytest.raises(WeightsError, match=f"expected tokenizer.json and words.json.*{said}"):
        DeixisProcessor.from_pretrained(tmp_path, processor.config)


def test_the_tokenizer_of_another_model_is_refused(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    other = deixis_tiny()
    other.text_config.vocab_size = 300
    with pytest.raises(WeightsError, match=r"expected at most 300 tokens"):
        DeixisProcessor.from_pretrained(tmp_path, other)


def test_the_tokenizer_completes_its_config(tiny):
    processor = tiny[1]
    config, words = processor.config, processor.vocabulary
    assert config.group_token == words.group[0]
    assert (config.answer_token, config.eos_token, config.pad_token) == (
        words.answer, words.eos, words.pad,
    )  # fmt: skip
    assert {k: len(v) for k, v in config.word_tokens.items()} == {
        **{kind: len(names) for kind, names in {**config.words, **config.told_words}.items()},
        "number": config.most_images,
    }
    assert config.word_tokens["number"][1] == words.word_ids("2")
    assert "mug" in processor.known_words


def test_an_answer_does_not_reach_the_question(processor):
    sample = ask([picture(9, 9)], answer=GroundedAnswer(text="Yes.", conclusion="Yes"))
    with_it, without = processor.encode([sample]), processor.encode([sample.without_answer()])
    assert torch.equal(with_it.question, without.question)
    assert with_it.truth is without.truth is None
    assert processor.encode([replace(sample, answer=None)], with_truth=True).truth.row.numel() == 0
