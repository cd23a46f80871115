"""What the cells of a canvas show: samples of each label are counted."""

import numpy as np

from deixis.structures.placement import Placement
from deixis.training.pixellm.pixellm_canvas import counted, on_canvas, things_of


def test_samples_of_each_label_are_counted_cell_by_cell():
    fine = np.random.default_rng(0).integers(0, 3, (6, 6))
    found = counted(fine, 2, 4)
    for cell in range(4):
        row, column = divmod(cell, 2)
        own = fine[3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
        assert found[cell].tolist() == [(own == label).sum() for label in range(4)]


def test_what_lies_outside_of_the_image_shows_nothing():
    placement = Placement.fit((8, 4), (8, 8))
    labels = np.arange(1, 33).reshape(8, 4)
    whole = on_canvas(labels, placement, 8, 8)
    assert np.array_equal(whole[:, :4], labels)
    assert not whole[:, 4:].any()


def test_a_cell_shows_the_thing_that_most_of_it_is_of():
    placement = Placement.fit((4, 4), (4, 4))
    things = np.array([[1, 1, 0, 0], [1, 2, 0, 0], [2, 2, 2, 2], [2, 2, 2, 2]])
    boxes, shown = things_of(things, placement, 2, 4)
    assert shown.tolist() == [0.75, 0.0, 1.0, 1.0]
    assert boxes[0].tolist() == [0.25, 0.25, 0.5, 0.5]
    assert boxes[2].tolist() == boxes[3].tolist() == [0.5, 0.625, 1.0, 0.75]
