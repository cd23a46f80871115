"""Object tokens: one row per thing and image, whatever was noticed where, against loops."""

from dataclasses import fields

import pytest
import torch
from looks import HEIGHT, IDENTITY, PARTS, WIDTH, area, drawn

from deixis.nn.proposals import Proposals
from deixis.relation.deeds import DEEDS
from deixis.relation.entities import PATH_WIDTH, Linking
from deixis.relation.likeness import Likeness
from deixis.relation.neighbours import LIMITS
from deixis.relation.objects import (
    GEOMETRY_WIDTH,
    Look,
    Objects,
    ObjectTokens,
    blend,
    gather_objects,
    pool_words,
)

LEFT, RIGHT, LOW = area(0, 0, 3, 3), area(1, 4, 4, 8), area(4, 1, 6, 4)
KINDS = {"category": 4, "colour": 3, "part": 2}


def table(look: Look, sets: list[int], images: list[int], clips: list[bool], **rule) -> Objects:
    return gather_objects(
        look,
        set_of_frame=torch.tensor(sets),
        image=torch.tensor(images),
        clip=torch.tensor(clips),
        num_sets=max(sets) + 1,
        rule=Linking(),
        likeness=Likeness(sizes=(IDENTITY, 1, 1)),
        least_part=rule.get("least_part", 1.0),
    )


@pytest.fixture
def look() -> Look:
    """Two pictures, then a clip of three frames; thing 0 is in both sets' first frames."""
    return drawn(
        [[LEFT, RIGHT], [LOW], [LEFT, LOW], [LOW, RIGHT], [RIGHT]],
        [[0, 1], [0], [2, 3], [3, 2], [2]],
    )


@pytest.fixture
def objects(look) -> Objects:
    return table(look, [0, 0, 1, 1, 1], [0, 1, 0, 0, 0], [False, False, True, True, True])


def test_every_thing_has_one_row_in_every_image_that_shows_it(objects):
    assert objects.valid.tolist() == [[True, True, True], [True, True, False]]
    assert objects.image[0].tolist() == [0, 0, 1]
    assert objects.entity[0].tolist() == [0, 1, 0]
    assert objects.token_of.tolist() == [[0, 1], [2, -1], [0, 1], [1, 0], [0, -1]]


def test_a_picture_s_row_is_its_proposal(look, objects):
    torch.testing.assert_close(objects.observed[0, 1], look.observed[0, 1])
    torch.testing.assert_close(objects.place[0, 1, 0], look.proposals.centre[0, 1])
    assert not objects.geometry[0, :, -(PATH_WIDTH + 1) :].any()


def test_a_track_s_row_is_the_mean_of_its_proposals_by_area(look, objects):
    where = [(2, 0), (3, 1), (4, 0)]
    areas = torch.stack([look.proposals.area[at] for at in where])
    shares = areas / areas.sum()
    expected = sum(s * look.observed[at] for s, at in zip(shares, where, strict=True))
    torch.testing.assert_close(objects.observed[1, 0], expected)
    centre = sum(s * look.proposals.centre[at] for s, at in zip(shares, where, strict=True))
    torch.testing.assert_close(objects.place[1, 0, 0], centre)
    assert objects.geometry[1, :2, -1].tolist() == [1.0, 1.0]


def test_a_part_can_be_meant_where_enough_of_it_shows(look):
    sets, images, clips = [0, 0, 1, 1, 1], [0, 1, 0, 0, 0], [False, False, True, True, True]
    cells = torch.zeros(2, PARTS)
    for slot, mask in enumerate((LEFT, RIGHT)):
        cells[slot] = (look.words[0, -PARTS:] * mask).sum((1, 2))
    for least in (cells.min().item() - 0.1, cells.mean().item(), cells.max().item() + 0.1):
        objects = table(look, sets, images, clips, least_part=least)
        assert objects.parts[0, :2].tolist() == (cells >= least).tolist()


def test_a_part_stands_at_the_centre_of_its_own_cells(look, objects):
    weight = look.words[0, -PARTS:] * RIGHT  # (parts, h, w)
    x = (torch.arange(WIDTH) + 0.5) / WIDTH
    y = (torch.arange(HEIGHT) + 0.5) / HEIGHT
    for part in range(PARTS):
        expected = torch.stack([(weight[part] * x).sum(), (weight[part] * y[:, None]).sum()])
        torch.testing.assert_close(objects.place[0, 1, 1 + part], expected / weight[part].sum())


def test_sets_do_not_see_each_other(look, objects):
    alone = table(_frames(look, slice(2, 5)), [0] * 3, [0] * 3, [True] * 3)
    torch.testing.assert_close(alone.observed[0], objects.observed[1, :2])
    torch.testing.assert_close(alone.geometry[0], objects.geometry[1, :2])
    assert torch.equal(alone.token_of, objects.token_of[2:])


def test_a_set_without_things_has_only_empty_rows(look):
    nothing = drawn([[torch.zeros(HEIGHT, WIDTH)]], [[0]])
    objects = table(nothing, [0], [0], [False])
    assert objects.valid.tolist() == [[False]]
    assert objects.token_of.tolist() == [[-1]]
    assert objects.observed.isfinite().all()


def test_words_are_pooled_over_the_cells_of_each_proposal(look):
    maps, parts = torch.randn(5, 3, HEIGHT, WIDTH), torch.rand(5, 2, HEIGHT, WIDTH)
    colours = torch.rand(5, 3, HEIGHT, WIDTH)
    pooled = pool_words([maps[:, :1], maps[:, 1:]], look.proposals, parts, colours)
    assert pooled.shape == (5, 2, 3 + 2 * 3)
    inside = RIGHT.bool()
    torch.testing.assert_close(pooled[0, 1, :3], maps[0][:, inside].mean(1))
    pairs = [
        (parts[0, p][inside] * colours[0, c][inside]).mean() for p in range(2) for c in range(3)
    ]
    torch.testing.assert_close(pooled[0, 1, 3:], torch.stack(pairs))
    assert not pooled[1, 1].any()  # no proposal


def test_looks_of_several_chunks_join_to_the_look_at_all(look):
    joined = Look.join([_frames(look, slice(0, 2)), _frames(look, slice(2, 5))])
    for field in fields(Look):
        if field.name != "proposals":
            torch.testing.assert_close(getattr(joined, field.name), getattr(look, field.name))
    torch.testing.assert_close(joined.proposals.masks, look.proposals.masks)


def test_a_thinned_look_keeps_maps_of_the_wanted_frames_only(look):
    wanted = torch.tensor([False, True, False, False, True])
    thin = look.thinned(wanted)
    assert thin.kept.tolist() == [-1, 0, -1, -1, 1]
    torch.testing.assert_close(thin.fine, look.fine[wanted])
    torch.testing.assert_close(thin.words, look.words[wanted])
    torch.testing.assert_close(thin.proposals.masks, look.proposals.masks[wanted])
    torch.testing.assert_close(thin.observed, look.observed)
    again = Look.join([thin, look.thinned(torch.tensor([True, False, False, True, False]))])
    assert again.kept.tolist() == [-1, 0, -1, -1, 1, 2, -1, -1, 3, -1]
    torch.testing.assert_close(again.fine[again.kept[5]], look.fine[0])


def test_ingredients_meet_at_one_size_and_are_weighed_by_their_gains():
    torch.manual_seed(0)
    small, large = torch.randn(2, 3, 16), torch.randn(2, 3, 16) * 1e3
    mixed = blend([small, large], torch.tensor([2.0, 0.5]))
    by_hand = 2 * small / small.square().mean(-1, keepdim=True).sqrt()
    by_hand = by_hand + 0.5 * large / large.square().mean(-1, keepdim=True).sqrt()
    torch.testing.assert_close(mixed, by_hand, rtol=1e-2, atol=1e-2)
    assert not blend([torch.zeros(2, 16)], torch.ones(1)).isnan().any()


@pytest.fixture
def tokens() -> ObjectTokens:
    torch.manual_seed(0)
    tokens = ObjectTokens(
        KINDS, pooled_width=3, pair_width=6, width=10, most_entities=4, neighbours=True, deeds=True
    )
    torch.nn.init.uniform_(tokens.gain, 0.2, 0.5)
    return tokens


def told(tokens, objects: Objects, named, numbers) -> torch.Tensor:
    return tokens(objects, tokens.compared(objects), named, numbers)[0]


def rows(count: int) -> Objects:
    width = 3 + sum(KINDS.values()) + 6
    return Objects(
        valid=torch.ones(1, count, dtype=torch.bool),
        observed=torch.rand(1, count, width),
        geometry=torch.rand(1, count, GEOMETRY_WIDTH),
        measures=torch.rand(1, count, len(LIMITS)),
        image=torch.arange(count)[None] % 2,
        entity=torch.arange(count)[None],
        parts=torch.ones(1, count, 2, dtype=torch.bool),
        place=torch.rand(1, count, 3, 2),
        token_of=torch.arange(count)[None],
    )


RISING = torch.arange(3.0)[None, :, None]  # what all have more of, nobody has more of


def words() -> dict[str, torch.Tensor]:
    return {kind: torch.randn(count, 10) for kind, count in {**KINDS, "deed": DEEDS}.items()}


def test_every_ingredient_of_an_object_changes_its_token(tokens):
    objects, named, numbers = rows(3), words(), torch.randn(2, 10)
    before = told(tokens, objects, named, numbers)
    assert before.shape == (1, 3, 10)
    for name, change in (("observed", 0.5), ("geometry", 0.5), ("measures", RISING), ("entity", 1)):
        other = rows(3)
        values = {f.name: getattr(objects, f.name) for f in fields(Objects)}
        other = Objects(**{**values, name: values[name] + change})
        assert (told(tokens, other, named, numbers) - before).abs().max() > 1e-3, name
    assert (told(tokens, objects, named, numbers.flip(0)) - before).abs().max() > 1e-3
    assert (told(tokens, objects, words(), numbers) - before).abs().max() > 1e-3


def test_more_things_and_images_than_the_tables_hold_are_still_told(tokens):
    objects = rows(11)
    assert told(tokens, objects, words(), torch.randn(1, 10)).isfinite().all()


def test_every_weight_of_object_tokens_learns(tokens):
    told(tokens, rows(5), words(), torch.randn(2, 10)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in tokens.parameters())


def _frames(look: Look, which: slice) -> Look:
    """The look at some of the frames, as if they had been looked at alone."""
    proposals = Proposals(
        **{f.name: getattr(look.proposals, f.name)[which] for f in fields(Proposals)}
    )
    rest = {
        f.name: getattr(look, f.name)[which]
        for f in fields(Look)
        if f.name not in ("proposals", "kept")
    }
    return Look(proposals=proposals, kept=torch.arange(len(proposals.valid)), **rest)
