"""Samples to PixelLM's tensors and back: sharing, labels, names of targets, refusals."""

import numpy as np
import pytest
import torch
from PIL import Image

from deixis.errors import DataError, WeightsError
from deixis.processing.batches.pixellm_batch import IGNORED, IMAGE
from deixis.processing.pixellm import (
    PixelLMProcessor,
    mask_scores,
    place_image,
    place_longest,
    restore_logits,
)
from deixis.processing.words.pixellm_words import PixelLMVocabulary
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame
from deixis.structures.masks import Mask
from deixis.structures.opening import open_images
from deixis.structures.prompts import Point
from deixis.structures.samples import Question, Sample

G = "G"


@pytest.fixture(scope="module")
def processor(make_pixellm):
    return make_pixellm()[1]


def picture(height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return open_images(pixels)


def asked(images, text, answer=None):
    return Sample(images=images, question=Question(text=text), answer=answer)


def square(size, top, left, side=6):
    pixels = np.zeros(size, bool)
    pixels[top : top + side, left : left + side] = True
    return Mask(pixels)


@pytest.mark.parametrize(
    ("said", "text", "names"),
    [
        ("the red mug G and the kite G.", "the red mug and the kite.", ["the red mug", "the kite"]),
        ("It is G.", "It is.", ["It"]),
        ("Sure, it is G.", "Sure, it is.", ["it"]),
        ("Sure, G.", "Sure, target 1.", ["target 1"]),
        ("G", "target 1", ["target 1"]),
        ("x, y and z are G, G and G.", "x, y and z are.", ["x", "y", "z"]),
        ("Sure, they are G and G.", "Sure, they are target 1 and target 2.",
         ["target 1", "target 2"]),
        ("x is G, y is G and z is G.", "x is, y is and z is.", ["x", "y", "z"]),
        ("Take it. The mug G! Then the kite G", "Take it. The mug! Then the kite",
         ["The mug", "Then the kite"]),
        ("a bicycle.", "a bicycle.", []),
    ],
)  # fmt: skip
def test_a_group_is_named_by_the_words_that_it_follows(processor, said, text, names):
    words = processor.vocabulary
    ids = [*words.encode(said.replace(G, processor.group_text)), words.eos, words.pad]
    count = len(words.groups(ids)[0])
    masks = {0: square((8, 8), 1, 1)}
    answer = processor.decode(ids, [Target(phrase="", masks=masks)] * count)
    assert answer.text == text == processor.text(ids)
    assert [target.phrase for target in answer.targets] == names
    assert [answer.text[a:b] for a, b in answer.spans] == names


def test_what_is_begun_only_is_reported_and_an_empty_mask_is_absent(processor):
    words = processor.vocabulary
    ids = [*words.encode(f"the mug {processor.group_text} the kite"), *words.group[:3]]
    answer = processor.decode(ids, [Target(phrase="", masks={})])
    assert (answer.text, answer.targets, answer.unfinished) == ("the mug the kite", (), 1)
    assert [target.phrase for target in answer.absent] == ["the mug"]


def test_a_true_answer_is_read_back_as_it_was_written(processor, scene_samples):
    spoken = [s for s in scene_samples if s.answer.targets and len(s.images) == 1]
    assert spoken
    for sample in spoken:
        row, order = processor.answered(sample.question.text, sample.answer)
        reply = [token for token, label in zip(row.ids, row.labels, strict=True) if label >= 0]
        drawn = [sample.answer.targets[i] for i in order]
        answer = processor.decode(reply, drawn)
        assert answer.text.split() == sample.answer.text.split()
        assert [set(t.masks) for t in answer.targets] == [set(t.masks) for t in drawn]


def test_a_group_is_written_in_order_whatever_the_order_of_the_file(processor):
    words = processor.vocabulary
    turned = PixelLMVocabulary(words.model, dict(reversed(words.added.items())), len(words.group))
    again = PixelLMProcessor(processor.config, turned)
    assert tuple(turned.encode(again.group_text)) == words.group


def test_labels_cover_every_answer_to_its_end_and_nothing_else(processor):
    turns = [("Where is it?", "the mug [SEG0]"), ("And now?", "gone")]
    row = processor.conversation(turns)
    words = processor.vocabulary
    learned = [label for label in row.labels if label != IGNORED]
    expected = [*words.encode("the mug [SEG0]"), words.eos, *words.encode("gone"), words.eos]
    assert learned == expected
    assert len(row.ids) == len(row.labels)
    assert row.ids.count(words.bos) == row.ids.count(IMAGE) == 1


def test_a_question_without_an_image_has_no_place_for_one(processor):
    ids = processor.question("Where is it?", image=False)
    assert IMAGE not in ids
    assert processor.vocabulary.image_start not in ids


def test_questions_about_one_image_share_it(processor):
    one, other = picture(20, 30), picture(30, 20, seed=1)
    samples = [asked(one, "A?"), asked(other, "B is longer?"), asked(one, "C?")]
    batch = processor.encode(samples)
    assert batch.pixels.shape == (2, 3, 40, 40)
    assert batch.image.tolist() == [0, 1, 0]
    assert batch.held.sum(1).tolist() == [len(processor.question(s.question.text)) for s in samples]


def test_true_masks_stand_in_the_order_of_their_groups(processor):
    images = picture(20, 30)
    first, second = square((20, 30), 1, 2), square((20, 30), 9, 20)
    answer = GroundedAnswer(
        text="a kite and a mug",
        targets=(
            Target(phrase="a mug", masks={0: first}),
            Target(phrase="a kite", masks={0: second}),
        ),
        spans=((11, 16), (0, 6)),
    )
    batch = processor.encode([asked(images, "What?", answer)], with_truth=True)
    assert [int(mask.nonzero()[0, 0]) for mask in batch.truth.masks] == [9, 1]
    assert batch.slots.row.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("size", "resized"), [((1, 1), (40, 40)), ((1, 5000), (1, 40)), ((30, 40), (30, 40)),
                          ((80, 60), (40, 30)), ((7, 9), (31, 40))]
)  # fmt: skip
def test_the_longest_side_fills_the_canvas(size, resized):
    assert place_longest(size, 40).resized == resized


def test_padding_is_zero_after_normalisation():
    frame = Frame.from_array(np.zeros((10, 20, 3), np.uint8))
    pixels, placement = place_image(frame, 40)
    assert placement.resized == (20, 40)
    assert not pixels[:, 20:].any()
    assert (pixels[:, :20] < -1.5).all()


@pytest.mark.parametrize("size", [(30, 90), (90, 30), (1, 1), (64, 64)])
def test_a_mask_comes_back_where_it_was(size):
    placement = place_longest(size, 64)
    height, width = placement.resized
    drawn = np.zeros((64, 64), np.float32)
    drawn[: height // 2, : width // 2] = 1
    logits = torch.from_numpy(np.array(Image.fromarray(drawn).resize((32, 32)))) * 8 - 4
    whole = restore_logits(logits[None], placement)[0] > 0
    assert whole.shape == size
    assert abs(float(whole.float().mean()) - 0.25) < 0.06 or size == (1, 1)


def test_the_score_is_the_mean_probability_inside():
    logits = torch.tensor([[[2.0, -1.0], [4.0, -3.0]], [[-1.0, -1.0], [-1.0, -1.0]]])
    inside = torch.tensor([2.0, 4.0]).sigmoid().mean()
    torch.testing.assert_close(mask_scores(logits), torch.tensor([float(inside), 0.0]))


def test_what_pixellm_cannot_read_is_refused(processor):
    one = picture(8, 8)
    with pytest.raises(DataError, match=r"images: expected one for PixelLM, got 2\. Ask about"):
        processor.encode([asked(open_images([one[0].pixels, one[0].pixels]), "Both?")])
    pointed = Question(text="This?", prompts=(Point(image=0, x=1, y=1),))
    with pytest.raises(DataError, match=r"prompts: expected none for PixelLM.* got 1\. Say"):
        processor.encode([Sample(images=one, question=pointed)])
    with pytest.raises(DataError, match=r"expected at most 200 tokens .* got \d+\. Ask more"):
        processor.encode([asked(one, "long " * 300)])


def test_a_tokenizer_of_another_model_is_refused(processor, make_pixellm, tmp_path):
    processor.save_pretrained(tmp_path)
    other, _ = make_pixellm(tokens_per_level=3)
    with pytest.raises(WeightsError, match=r"got none for \[SEG4\], \[SEG5\]"):
        PixelLMProcessor.from_pretrained(tmp_path, other.config)
    (tmp_path / "tokenizer.model").unlink()
    with pytest.raises(WeightsError, match=r"expected tokenizer.model and added_tokens.json"):
        PixelLMProcessor.from_pretrained(tmp_path, processor.config)
