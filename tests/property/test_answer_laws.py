"""Whatever is written decodes to a valid answer; whatever is true is read back as it was."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deixis.models.configs.deixis_config import deixis_tiny
from deixis.processing.deixis import DeixisProcessor
from deixis.processing.vocabulary import SPECIAL
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.masks import Mask

CONFIG = deixis_tiny()
PROCESSOR = DeixisProcessor.from_texts(CONFIG, ["the red mug is left of image 2. the answer is 3."])
WORDS = PROCESSOR.vocabulary
MARKS = [WORDS.tokenizer.token_to_id(name) for name in SPECIAL] + [*WORDS.group]
FULL = Mask(np.ones((2, 3), dtype=bool))

TOKENS = st.lists(
    st.sampled_from(MARKS)
    | st.just([*WORDS.group])
    | st.just(WORDS.plain(" red mug"))
    | st.integers(0, CONFIG.text_config.vocab_size - 1),
    max_size=40,
).map(lambda parts: [t for part in parts for t in (part if isinstance(part, list) else [part])])
quick = settings(max_examples=150, deadline=None)


def pointed(shows: list[bool]) -> list[Target]:
    return [Target(phrase="", masks={0: FULL} if s else {}, score=0.5, presence=0.6) for s in shows]


@given(ids=TOKENS, shows=st.lists(st.booleans(), max_size=6))
@quick
def test_any_tokens_and_any_masks_make_a_valid_answer(ids, shows):
    answer = PROCESSOR.decode(ids, pointed(shows))  # checks itself when it is made
    assert len(answer.targets) == sum(shows)
    assert len(answer.absent) == len(shows) - sum(shows)
    named = [answer.text[a:b] for a, b in answer.spans]
    assert named == [t.phrase for t in answer.targets]
    assert all(phrase == phrase.strip() != "" for phrase in named)
    assert all(t.phrase in answer.text for t in answer.absent)
    assert answer.conclusion is None or answer.conclusion in answer.text
    assert answer.unfinished >= 0


@given(ids=TOKENS)
@quick
def test_names_stand_in_order_and_apart(ids):
    names = WORDS.read(ids).names
    ends = [0, *(stop for _, stop in names)]
    assert all(start >= end for (start, _), end in zip(names, ends[:-1], strict=True))


@given(ids=TOKENS)
@quick
def test_every_group_token_is_in_a_whole_group_or_counted(ids):
    read = WORDS.read(ids)
    said = ids[: ids.index(WORDS.eos)] if WORDS.eos in ids else ids
    whole = {i for start in read.starts for i in range(start, start + len(WORDS.group))}
    broken = [i for i, token in enumerate(said) if token in WORDS.group and i not in whole]
    assert bool(broken) == bool(read.unfinished)
    assert read.unfinished <= len(broken)


@given(ids=TOKENS, cut=st.integers(0, 40))
@quick
def test_what_is_cut_off_reads_as_the_beginning_of_the_whole(ids, cut):
    whole, part = WORDS.read(ids), WORDS.read(ids[:cut])
    assert part.starts == whole.starts[: part.groups]
    complete = part.text.rstrip("\N{REPLACEMENT CHARACTER}").rstrip()
    assert whole.text.startswith(complete)


@st.composite
def true_answers(draw) -> GroundedAnswer:
    """Words of which some name targets; the last of the others may be the conclusion."""
    word = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=6)
    words = draw(st.lists(word, min_size=1, max_size=12))
    kinds = draw(st.lists(st.sampled_from("-tt-"), min_size=len(words), max_size=len(words)))
    ends = np.cumsum([len(w) + 1 for w in words]) - 1
    spans = [(int(end) - len(w), int(end)) for w, end in zip(words, ends, strict=True)]
    text = " ".join(words)
    named = [span for span, kind in zip(spans, kinds, strict=True) if kind == "t"]
    free = [span for span, kind in zip(spans, kinds, strict=True) if kind == "-"]
    return GroundedAnswer(
        text=text,
        targets=tuple(Target(phrase=text[a:b], masks={0: FULL}) for a, b in named),
        spans=tuple(named),
        conclusion=text[slice(*free[-1])] if free and draw(st.booleans()) else None,
    )


@given(true=true_answers())
@quick
def test_a_true_answer_is_read_back_as_it_was(true):
    answer = PROCESSOR.decode(WORDS.write(true), list(true.targets))
    assert (answer.text, answer.spans) == (true.text, true.spans)
    assert [t.phrase for t in answer.targets] == [t.phrase for t in true.targets]
    assert answer.conclusion == true.conclusion
    assert (answer.absent, answer.unfinished) == ((), 0)
