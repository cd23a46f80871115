"""Cached reading and writing, against one plain call over everything that was read."""

import pytest
import torch
from decoders import ATTENTIONS, VOCABULARY, WIDTH, near, plainly, ragged, small_decoders, speak

from deixis.language.generate import Reading, generate, read_on, read_prefix

END = 2


@pytest.fixture(scope="module", params=ATTENTIONS)
def decoder(request):
    return small_decoders(request.param)


def begun(decoder, rows: int = 4, seed: int = 1) -> Reading:
    embedded, held, positions = ragged(rows, 6, 0, seed)
    return read_prefix(decoder, embedded, held, positions)[1]


def written(decoder, reading: Reading, **options) -> list[list[int]]:
    """The words of each row."""
    options = {"most": 9, "end": END, **options}
    steps = [tokens for tokens, _ in generate(decoder, speak(decoder), reading, **options)]
    return torch.stack(steps, 1).tolist()


def test_a_prefix_is_read_in_both_directions(decoder):
    embedded, held, positions = ragged(4, 6, 0)
    states, reading = read_prefix(decoder, embedded, held, positions)
    expected = plainly(decoder, embedded, held, positions, prefix=6)
    torch.testing.assert_close(states[held], expected[held], **near(decoder))
    torch.testing.assert_close(reading.state, expected[:, -1], **near(decoder))


@torch.no_grad()
def test_reading_on_in_pieces_equals_one_full_read(decoder):
    embedded, held, positions = ragged(6, 5, 7, seed=3)
    _, reading = read_prefix(decoder, embedded[:, :5], held[:, :5], positions[:, :5])
    first = read_on(decoder, reading, embedded[:, 5:9], held[:, 5:9])
    second = torch.cat(
        [
            read_on(decoder, reading, embedded[:, i : i + 1], held[:, i : i + 1])
            for i in (9, 10, 11)
        ],
        1,
    )
    expected = plainly(decoder, embedded, held, positions, prefix=5)[:, 5:]
    got = torch.cat([first, second], 1)
    torch.testing.assert_close(got[held[:, 5:]], expected[held[:, 5:]], **near(decoder))


@torch.no_grad()
def test_the_state_that_speaks_next_is_the_last_that_a_row_holds(decoder):
    embedded, held, positions = ragged(6, 5, 4, seed=3)
    _, reading = read_prefix(decoder, embedded[:, :5], held[:, :5], positions[:, :5])
    before = reading.state
    states = read_on(decoder, reading, embedded[:, 5:], held[:, 5:])
    lengths = held[:, 5:].sum(1).tolist()
    assert 0 in lengths
    assert max(lengths) > 1
    for row, length in enumerate(lengths):
        expected = states[row, length - 1] if length else before[row]
        torch.testing.assert_close(reading.state[row], expected)
        assert reading.position[row] == positions[row, 4] + length


@torch.no_grad()
def test_each_word_is_the_best_by_a_full_read_of_everything_before_it(decoder):
    embedded, held, positions = ragged(4, 6, 0)
    rows = written(decoder, begun(decoder))
    table = decoder.get_input_embeddings().weight
    for row, words in enumerate(rows):
        end = words.index(END) + 1 if END in words else len(words)
        said = torch.cat([embedded[row], table[torch.tensor(words[:end])]])[None]
        place = torch.cat([positions[row], positions[row, -1] + 1 + torch.arange(end)])[None]
        there = torch.cat([held[row], torch.ones(end, dtype=torch.bool)])[None]
        states = plainly(decoder, said, there, place, prefix=6)[0, 5:-1]
        assert speak(decoder)(states).argmax(1).tolist() == words[:end]


@torch.no_grad()
def test_rows_written_together_are_the_rows_written_alone(decoder):
    embedded, held, positions = ragged(5, 6, 0)
    together = written(decoder, read_prefix(decoder, embedded, held, positions)[1])
    for row in range(5):
        one = slice(row, row + 1)
        reading = read_prefix(decoder, embedded[one], held[one], positions[one])[1]
        alone = written(decoder, reading)[0]
        assert alone == together[row][: len(alone)]
        assert set(together[row][len(alone) :]) <= {END}


@torch.no_grad()
def test_writing_is_bounded_and_stops_when_all_have_ended(decoder):
    assert len(written(decoder, begun(decoder), end=VOCABULARY + 1)[0]) == 9
    logits = torch.zeros(VOCABULARY)
    logits[END] = 1
    steps = list(
        generate(decoder, lambda s: logits.expand(len(s), -1), begun(decoder), most=9, end=END)
    )
    assert len(steps) == 1


@torch.no_grad()
def test_a_row_that_has_ended_repeats_the_end_and_reads_no_more(decoder):
    order = iter([[END, 5], [7, 6], [8, END]])

    def say(states: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor(next(order)), VOCABULARY).double()

    reading = begun(decoder, rows=2)
    start = reading.position.clone()
    tokens = [t.tolist() for t, _ in generate(decoder, say, reading, most=9, end=END)]
    assert tokens == [[END, 5], [END, 6], [END, END]]
    assert reading.held[:, 6:].tolist() == [[False] * 3, [True, True, False]]
    assert (reading.position - start).tolist() == [0, 2]


@torch.no_grad()
def test_forbidden_words_are_never_written(decoder):
    free = written(decoder, begun(decoder))
    said = [word for row in free for word in row if word != END]
    favourite = max(set(said), key=said.count)
    forbidden = torch.zeros(VOCABULARY, dtype=torch.bool)
    forbidden[favourite] = True
    rows = written(decoder, begun(decoder), forbidden=forbidden)
    assert not any(favourite in row for row in rows)


@torch.no_grad()
def test_the_states_that_come_with_words_are_those_at_the_words(decoder):
    embedded, held, positions = ragged(3, 6, 0)
    reading = read_prefix(decoder, embedded, held, positions)[1]
    steps = list(generate(decoder, speak(decoder), reading, most=4, end=VOCABULARY + 1))
    words = torch.stack([tokens for tokens, _ in steps], 1)
    states = torch.stack([at for _, at in steps], 1)
    said = torch.cat([embedded, decoder.get_input_embeddings()(words)], 1)
    place = torch.cat([positions, positions[:, -1:] + 1 + torch.arange(4)], 1)
    there = torch.cat([held, torch.ones(3, 4, dtype=torch.bool)], 1)
    expected = plainly(decoder, said, there, place, prefix=6)[:, 6:]
    torch.testing.assert_close(states, expected, **near(decoder))
    assert states.shape == (3, 4, WIDTH)
