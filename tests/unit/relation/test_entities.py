"""Looks link things over images; looks and places link them along a clip."""

import numpy as np
import pytest

from deixis.relation.entities import PATH_WIDTH, STEPS, Linking, link, paths

RULE = Linking(likeness=0.8, likeness_nearby=0.3, reach=0.25)


def unit(*angles: float) -> np.ndarray:
    """Looks as unit vectors in the plane: 0 and 90 degrees have nothing in common."""
    return np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], -1)


def cosine(one: np.ndarray, other: np.ndarray, _: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(other, axis=1)
    return one @ other.T / np.maximum(lengths, 1e-9)


def linked(frames, *, image=None, clip=False) -> list[list[int]]:
    """Link frames of (angle, x) or None for an empty slot."""
    width = max(len(frame) for frame in frames)
    identity = np.zeros((len(frames), width, 2))
    centre = np.full((len(frames), width, 2), 0.5)
    valid = np.zeros((len(frames), width), dtype=bool)
    for row, frame in enumerate(frames):
        for slot, thing in enumerate(frame):
            if thing is not None:
                identity[row, slot] = unit(thing[0])
                centre[row, slot, 0] = thing[1]
                valid[row, slot] = True
    image = np.array(image if image is not None else range(len(frames)))
    clips = np.broadcast_to(np.array(clip), len(frames))
    return link(identity, centre, valid, image, clips, RULE, cosine).tolist()


def test_the_same_look_in_other_images_is_one_thing():
    assert linked([[(0, 0.1), (90, 0.9)], [(92, 0.2), (3, 0.5)]]) == [[0, 1], [1, 0]]


def test_another_look_is_another_thing():
    assert linked([[(0, 0.1)], [(45, 0.1)]]) == [[0], [1]]


def test_two_of_one_image_are_never_one_thing():
    first, second = linked([[(0, 0.1), (1, 0.9), None], [(0, 0.1), (1, 0.9), (0.5, 0.5)]])
    assert len(set(first[:2])) == 2
    assert len(set(second)) == 3


def test_the_most_alike_are_linked_when_several_could_be():
    assert linked([[(0, 0.1), (20, 0.9)], [(19, 0.1), (1, 0.9)]]) == [[0, 1], [1, 0]]


def test_empty_slots_have_no_number_and_empty_images_break_nothing():
    assert linked([[None, (0, 0.3)], [None, None], [(1, 0.4), None]]) == [
        [-1, 0],
        [-1, -1],
        [0, -1],
    ]


def test_along_a_clip_place_helps_a_look_that_changes():
    turning = [[(0, 0.50)], [(40, 0.52)], [(80, 0.54)]]
    assert linked(turning, image=[0, 0, 0], clip=True) == [[0], [0], [0]]
    assert linked(turning) == [[0], [1], [2]]


def test_far_away_in_a_clip_only_the_look_counts():
    frames = [[(0, 0.1)], [(40, 0.9)], [(2, 0.5)]]
    assert linked(frames, image=[0, 0, 0], clip=True) == [[0], [1], [0]]


def test_likes_that_cross_in_a_clip_keep_their_tracks_by_place():
    frames = [[(0, 0.1), (0, 0.9)], [(0, 0.85), (0, 0.15)]]
    assert linked(frames, image=[0, 0], clip=True) == [[0, 1], [1, 0]]


def test_a_track_survives_leaving_and_coming_back_elsewhere():
    frames = [[(0, 0.1), (90, 0.5)], [(90, 0.5)], [(90, 0.5)], [(5, 0.9), (90, 0.5)]]
    assert linked(frames, image=[0] * 4, clip=True) == [[0, 1], [1, -1], [1, -1], [0, 1]]


def test_place_does_not_speak_between_a_clip_and_a_picture():
    frames = [[(0, 0.5)], [(0, 0.5)], [(45, 0.5)]]
    assert linked(frames, image=[0, 0, 1], clip=[True, True, False]) == [[0], [0], [1]]


def test_a_picture_and_a_clip_share_things_by_their_looks():
    frames = [[(0, 0.9)], [(90, 0.1), (2, 0.4)], [(4, 0.5)]]
    assert linked(frames, image=[0, 1, 1], clip=[False, True, True]) == [[0, -1], [1, 0], [0, -1]]


def test_a_path_says_where_when_how_far_and_whether_it_turned_back():
    x = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    back = np.array([0.1, 0.3, 0.5, 0.7, 0.7, 0.5, 0.3, 0.1])
    centre = np.stack([np.stack([x, np.full(8, 0.4)], -1), np.stack([back, np.full(8, 0.6)], -1)])
    described = paths(centre, np.ones((2, 8), dtype=bool))
    assert described.shape == (2, PATH_WIDTH)
    np.testing.assert_allclose(described[0, : 2 * STEPS : 2], x)
    np.testing.assert_allclose(described[1, 1 : 2 * STEPS : 2], 0.6)
    first, last, share, dx, dy, length, longest, turning = described[:, -8:].T
    np.testing.assert_allclose((first, last, share), ([0, 0], [1, 1], [1, 1]))
    np.testing.assert_allclose((dx, dy), ([0.7, 0.0], [0, 0]), atol=1e-9)
    np.testing.assert_allclose((length, longest), ([0.7, 1.2], [0.8, 1.6]))
    np.testing.assert_allclose(turning, [0, 1.2], atol=1e-9)


def test_a_path_that_begins_late_and_ends_early_says_so_and_moves_only_while_seen():
    seen = np.array([[False, False, True, True, False, True, False, False, False]])
    centre = np.zeros((1, 9, 2))
    centre[0, [2, 3, 5]] = [[0.2, 0.5], [0.4, 0.5], [0.6, 0.5]]
    described = paths(centre, seen)[0]
    first, last, share, dx, _, length, _, turning = described[-8:]
    assert (first, last, share) == (2 / 8, 5 / 8, 3 / 9)
    np.testing.assert_allclose((dx, length, turning), (0.4, 0.4, 0.0), atol=1e-9)
    moments = np.round(np.linspace(0, 8, STEPS)).astype(int)
    np.testing.assert_array_equal(described[2 * STEPS : 3 * STEPS], seen[0, moments])


def test_a_clip_of_one_frame_has_a_path_that_stands():
    described = paths(np.full((1, 1, 2), 0.3), np.ones((1, 1), dtype=bool))[0]
    assert np.isfinite(described).all()
    assert described[-5:].tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("order", [[2, 0, 1], [1, 2, 0]])
def test_the_order_of_proposals_in_a_frame_changes_only_their_numbers(order):
    frame = [(0, 0.1), (60, 0.5), (120, 0.9)]
    shuffled = [frame[i] for i in order]
    first, second = linked([frame, shuffled])
    assert [second[order.index(i)] for i in range(3)] == first


def test_whether_a_lacking_part_counts_depends_on_whether_the_clip_is_the_same():
    asked = []

    def alike(one: np.ndarray, other: np.ndarray, whole: np.ndarray) -> np.ndarray:
        asked.append(whole.tolist())
        return cosine(one, other, whole)

    looks = np.stack([unit(0, 90)] * 4)
    centre, valid = np.full((4, 2, 2), 0.5), np.ones((4, 2), dtype=bool)
    link(looks, centre, valid, np.array([0, 0, 1, 2]), np.array([1, 1, 0, 0]) > 0, RULE, alike)
    assert asked == [[], [False, False], [True, True], [True, True]]
