"""What things do is told in clips only, and follows from the guess."""

import torch

from deixis.models.configs.deixis_config import deixis_tiny
from deixis.relation.deeds import DEEDS, Deeds
from deixis.scenes.knowing.motion import MOTIONS


def test_there_are_as_many_deeds_as_the_scenes_have_words_for():
    assert len(MOTIONS) == len(deixis_tiny().told_words["deed"]) == DEEDS


def test_things_of_pictures_are_told_nothing():
    torch.manual_seed(0)
    deeds, content = Deeds(12), torch.randn(2, 3, 12)
    moving = torch.tensor([[[1.0], [0.0], [1.0]], [[0.0], [0.0], [0.0]]])
    told = deeds.tell(deeds(content), moving, torch.randn(DEEDS, 12))
    assert told[0, 0].any()
    assert told[0, 2].any()
    assert not told[0, 1].any()
    assert not told[1].any()


def test_a_thing_that_surely_moves_up_is_told_the_word_up():
    torch.manual_seed(0)
    deeds, words = Deeds(12), torch.randn(DEEDS, 12)
    logits = torch.full((1, 1, DEEDS), -20.0)
    logits[..., MOTIONS.index("moves up")] = 20.0
    (told,) = deeds.tell(logits, torch.ones(1, 1, 1), words)[0]
    up = words[deixis_tiny().told_words["deed"].index("up")]
    torch.testing.assert_close(told / told.norm(), up / up.norm())
