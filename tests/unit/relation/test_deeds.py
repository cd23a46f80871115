"""What things do is told in clips only, and follows from the guess."""

import torch

from deixis.relation.deeds import DEEDS, Deeds
from deixis.scenes.knowing.motion import MOTIONS


def test_there_are_as_many_deeds_as_the_scenes_have_words_for():
    assert len(MOTIONS) == DEEDS


def test_things_of_pictures_are_told_nothing():
    torch.manual_seed(0)
    deeds, content = Deeds(12), torch.randn(2, 3, 12)
    moving = torch.tensor([[[1.0], [0.0], [1.0]], [[0.0], [0.0], [0.0]]])
    told = deeds.tell(deeds(content), moving)
    assert told[0, 0].any()
    assert told[0, 2].any()
    assert not told[0, 1].any()
    assert not told[1].any()


def test_what_is_told_is_the_sum_of_what_is_guessed():
    torch.manual_seed(0)
    deeds, content = Deeds(12), torch.randn(1, 3, 12)
    logits = deeds(content)
    told = deeds.tell(logits, torch.ones(1, 3, 1))
    torch.testing.assert_close(told, logits.sigmoid() @ deeds.told.weight.T)
