"""Answering with PixelLM: what is computed once, alone as together, streams, types, limits."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

import deixis
from deixis.errors import DataError
from deixis.models.pixellm import group_states
from deixis.reasoning.pixellm import PixelLMEngine
from deixis.reasoning.reasoner import Reasoner
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.opening import open_images
from deixis.structures.samples import Question, Sample


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


LAND, PORTRAIT = picture(30, 40), picture(41, 22, seed=1)
ASKED = ((LAND, "Where is the mug?"), (PORTRAIT, "Which one?"), (LAND, "What is behind the kite?"))


def samples():
    opened = {id(pixels): open_images(pixels) for pixels, _ in ASKED}
    return [Sample(images=opened[id(p)], question=Question(text=t)) for p, t in ASKED]


@pytest.fixture(scope="module")
def parts(make_pixellm):
    return make_pixellm()


@pytest.fixture
def reasoner(parts):
    return Reasoner(*parts, name="small")


@contextmanager
def counting(model):
    """Count the images that CLIP sees, readings of the language decoder, and drawings."""
    counts = {"images": 0, "readings": 0, "columns": 0, "drawings": 0, "drawn": 0}

    def seen(_, given, __):
        counts["images"] += len(given[0])

    def read(_, __, given, ___):
        counts["readings"] += 1
        counts["columns"] += given["inputs_embeds"].shape[:2].numel()

    def drew(_, given, __):
        counts["drawings"] += 1
        counts["drawn"] += len(given[0])

    hooks = [
        model.vision.embeddings.register_forward_hook(seen),
        model.language.register_forward_hook(read, with_kwargs=True),
        model.pyramid.register_forward_hook(drew),
    ]
    yield counts
    for hook in hooks:
        hook.remove()


def same(one, other):
    assert one.text == other.text
    assert (one.spans, one.unfinished) == (other.spans, other.unfinished)
    assert len(one.targets) == len(other.targets)
    for a, b in zip(one.targets, other.targets, strict=True):
        assert (a.phrase, a.masks.keys()) == (b.phrase, b.masks.keys())
        for index, mask in a.masks.items():
            wrong = (mask.pixels != b.masks[index].pixels).mean()
            assert wrong < 0.002  # a pixel whose logit is 0 may fall either way


def test_an_answer_sees_its_image_once_and_draws_once(reasoner):
    with counting(reasoner.model) as counts:
        answer = reasoner.answer(LAND, "Where is the mug?")
    assert len(answer.targets) + len(answer.absent) == 2
    assert answer.unfinished == 1
    steps = reasoner.model.config.most_answer - 1
    assert (counts["images"], counts["drawings"], counts["drawn"]) == (1, 1, 2)
    assert counts["readings"] == 1 + 1 + steps  # the image, the question, and one word at a time


def test_padded_image_tokens_are_never_read(reasoner):
    with counting(reasoner.model) as counts:
        reasoner.answer(LAND, "x")
    ids = reasoner.processor.question("x")
    read = 4 * 5  # of 5 x 5 image tokens, as the picture fills 30 of 40 rows
    assert counts["columns"] == len(ids) - 1 + read + reasoner.model.config.most_answer - 1


@contextmanager
def rows_of(model, *names):
    """Count the rows that go through linear parts of a model."""
    rows = dict.fromkeys(names, 0)

    def count(name):
        def hook(_, given, __):
            rows[name] += given[0].shape[:-1].numel()

        return hook

    hooks = [model.get_submodule(n).register_forward_hook(count(n)) for n in names]
    yield rows
    for hook in hooks:
        hook.remove()


def test_nothing_is_projected_that_is_not_read(reasoner, make_pixellm):
    parts = ("projector", "pixel_projector", "codebook.project", "lm_head")
    with rows_of(reasoner.model, *parts) as rows:
        answer = reasoner.answer(LAND, "Where is the mug?")
    targets = len(answer.targets) + len(answer.absent)
    patches, written = 2 * 10 * 10, reasoner.model.config.most_answer
    assert list(rows.values()) == [4 * 5, patches, targets * 4, written]
    wordy = Reasoner(*make_pixellm(most_answer=4), name="small")
    with rows_of(wordy.model, *parts) as rows:
        assert not wordy.answer(LAND, "Where is the mug?").targets
    assert list(rows.values()) == [4 * 5, 0, 0, 4]  # an answer in words draws nothing


def test_every_attention_is_torchs_own(reasoner, monkeypatch):
    attend, calls = torch.nn.functional.scaled_dot_product_attention, []
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *given, **named: calls.append(1) or attend(*given, **named),
    )
    with counting(reasoner.model) as counts:
        reasoner.answer(picture(31, 40, seed=7), "Where is the mug?")
    config = reasoner.model.config
    seeing = config.vision_config.num_hidden_layers - 1  # the last one is not asked for
    reading = config.text_config.num_hidden_layers * counts["readings"]
    drawing = config.levels * (3 * config.decoder_depth + 1)
    assert len(calls) == seeing + reading + drawing


def test_questions_about_one_image_share_it_and_what_was_read_of_it(reasoner):
    with counting(reasoner.model) as counts:
        reasoner.answer_batch(samples())
    steps = reasoner.model.config.most_answer - 1
    assert counts["images"] == 2  # three rows
    assert counts["readings"] == 1 + 1 + steps  # both images together, all questions together
    assert (counts["drawings"], counts["drawn"]) == (1, 6)
    with counting(reasoner.model) as counts:
        reasoner.answer(LAND, "And now?")
    assert (counts["images"], counts["readings"]) == (0, 1 + steps)


def test_a_batch_answers_as_each_question_alone(parts):
    together = Reasoner(*parts, name="small").answer_batch(samples())
    for answer, (pixels, text) in zip(together, ASKED, strict=True):
        same(answer, Reasoner(*parts, name="small").answer(pixels, text))


@torch.no_grad()
def test_what_is_drawn_while_writing_is_what_the_whole_answer_asks_for(parts):
    model, processor = parts
    batch = processor.encode(samples())
    drawn = []
    hook = model.pyramid.register_forward_hook(lambda *given: drawn.append(given[2]))
    run = PixelLMEngine(model, processor).begin(batch, ["one", "other"])
    for _ in run.steps():
        pass
    hook.remove()
    rows = [[*ids, *written] for ids, written in zip(run.rows, run.written, strict=True)]
    slots = processor.slots(rows)
    tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(r) for r in rows], batch_first=True)
    lengths = torch.tensor([[len(row)] for row in rows])
    look = model.see(batch.pixels, batch.resized)
    held = torch.arange(tokens.shape[1]) < lengths
    laid = model.lay_out(tokens, held, batch.image, look)
    queries = model.queries(group_states(model.read(laid), laid, slots))
    expected = model.point(queries, look, batch.image[slots.row])
    torch.testing.assert_close(torch.cat(drawn), expected, atol=1e-3, rtol=1e-3)


def test_answers_depend_on_image_and_question(reasoner):
    first, _, third = reasoner.answer_batch(samples())
    assert not np.array_equal(first.targets[0].masks[0].pixels, third.targets[0].masks[0].pixels)


def test_what_is_kept_of_an_image_does_not_change_its_answers(reasoner):
    before = reasoner.answer(*ASKED[0])
    reasoner.answer_batch(samples())
    same(reasoner.answer(*ASKED[0]), before)


def test_old_images_are_forgotten(parts):
    reasoner = Reasoner(*parts, name="small")
    for seed in range(6):
        reasoner.answer(picture(9, 9, seed=seed), "x")
    with counting(reasoner.model) as counts:
        reasoner.answer(picture(9, 9, seed=5), "y")
        reasoner.answer(picture(9, 9, seed=0), "y")
    assert counts["images"] == 1


def test_a_stream_gives_targets_as_they_come_and_ends_with_the_answer(reasoner, parts):
    pieces = list(reasoner.stream(*ASKED[0]))
    answer = pieces[-1]
    assert isinstance(answer, GroundedAnswer)
    kinds = [type(piece) for piece in pieces[:-1]]
    assert kinds.count(Target) == len(answer.targets) == 2
    assert kinds.index(Target) < len(kinds) - 1  # before the last word
    assert "".join(p for p in pieces if isinstance(p, str)) == answer.text
    same(answer, Reasoner(*parts, name="small").answer(*ASKED[0]))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_shorter_types_answer_and_draw_exactly(make_pixellm, dtype):
    model, processor = make_pixellm()
    exact = Reasoner(model, processor, name="small").answer(*ASKED[0])
    reasoner = Reasoner(model, processor, name="small").to(dtype=dtype)
    assert {str(p.dtype) for p in model.pyramid.parameters()} == {"torch.float32"}
    assert {str(p.dtype) for p in model.language.parameters()} == {f"torch.{dtype}"}
    answer = reasoner.answer(*ASKED[0])
    assert answer.text == exact.text
    for one, other in zip(answer.targets, exact.targets, strict=True):
        assert (one.masks[0].pixels == other.masks[0].pixels).mean() > 0.9


def test_an_answer_that_ends_says_nothing_of_room(make_pixellm):
    reasoner = Reasoner(*make_pixellm(ends=True), name="small")
    answer = reasoner.answer(*ASKED[0])
    assert (answer.caution, answer.unfinished, len(answer.targets)) == (None, 0, 1)


def test_an_answer_that_is_cut_says_so(reasoner):
    answer = reasoner.answer(*ASKED[0])
    assert answer.caution == "The answer was cut after 12 tokens, for which there was room."


def test_the_context_bounds_question_and_answer(make_pixellm):
    model, processor = make_pixellm(most_question=500)
    taken = len(processor.question("x")) + 25 - 1
    model.config.text_config.max_position_embeddings = taken + 3
    reasoner = Reasoner(model, processor, name="small")
    assert "cut after 3 tokens" in reasoner.answer(LAND, "x").caution
    model.config.text_config.max_position_embeddings = taken
    with pytest.raises(DataError, match=rf"fewer than {taken} positions .* got {taken}\. Ask"):
        reasoner.answer(LAND, "x")


def test_the_published_rule_drops_all_masks_of_a_malformed_answer(make_pixellm):
    answer = Reasoner(*make_pixellm(malformed="drop_all"), name="small").answer(*ASKED[0])
    assert (answer.targets, answer.absent, answer.unfinished) == ((), (), 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (200, 3)])
def test_images_of_odd_shapes_are_answered(reasoner, size):
    answer = reasoner.answer(picture(*size), "Where?")
    for target in answer.targets:
        assert target.masks[0].size == size


def test_rows_of_words_only_stand_beside_others(parts):
    model, processor = parts
    rows = [
        processor.conversation([("Where is the mug?", None)]),
        processor.conversation([("Hello?", None)], image=False),
    ]
    images = open_images(LAND)
    batch = processor.collate(rows, [images[0]], [0, -1])
    run = PixelLMEngine(model, processor).begin(batch, [images[0].key])
    for _ in run.steps():
        pass
    with_image, without = run.answers()
    assert len(with_image.targets) == 2
    assert (without.targets, without.text) == ((), with_image.text)
    alone = PixelLMEngine(model, processor).begin(processor.collate(rows[1:], [], [-1]), [])
    for _ in alone.steps():
        pass
    assert alone.written[0] == run.written[1]
    for a, b in zip(alone.states, run.states, strict=True):
        torch.testing.assert_close(a[0], b[1], atol=1e-4, rtol=1e-4)


def test_prompts_and_sets_are_refused(reasoner):
    with pytest.raises(DataError, match="expected one for PixelLM, got 2"):
        reasoner.answer([LAND, PORTRAIT], "Both?")


def test_a_saved_folder_opens_and_answers_alike(parts, tmp_path):
    model, processor = parts
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    same(deixis.load(tmp_path).answer(*ASKED[1]), Reasoner(*parts, name="small").answer(*ASKED[1]))
