"""Windows that are attended at once: the same numbers as one by one."""

import pytest
import torch
from torch import Tensor
from transformers import Qwen2_5_VLConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
)

from deixis.nn.windows import attend_in_windows

SIDES = {"one size": [[1, 16, 16], [2, 16, 16]], "many sizes": [[1, 16, 12], [3, 10, 18]]}


def tower(way: str) -> Qwen2_5_VisionTransformerPretrainedModel:
    config = Qwen2_5_VLConfig().vision_config
    values = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48}
    for name, value in {**values, "out_hidden_size": 32, "fullatt_block_indexes": [1]}.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    vision = Qwen2_5_VisionTransformerPretrainedModel._from_config(
        config, attn_implementation=way
    )
    with torch.no_grad():
        for weight in vision.parameters():
            weight.normal_(std=0.2)
    return vision


def seen(
    vision: Qwen2_5_VisionTransformerPretrainedModel, grids: list[list[int]]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the merged cells, and the gradient of every parameter."""
    patches = sum(t * h * w for t, h, w in grids)
    torch.manual_seed(1)
    pixels = torch.randn(patches, 3 * 2 * 14 * 14)
    cells = vision(pixels, grid_thw=torch.tensor(grids)).pooler_output
    (cells * torch.randn(cells.shape)).sum().backward()
    return cells, {name: w.grad for name, w in vision.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("way", ["sdpa", "eager"])
@pytest.mark.parametrize("sizes", SIDES)
def test_equals_one_by_one(way: str, sizes: str) -> None:
    theirs, wanted = seen(tower(way), SIDES[sizes])
    vision = tower(way)
    attend_in_windows(vision)
    ours, got = seen(vision, SIDES[sizes])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert got.keys() == wanted.keys()
    for name, gradient in wanted.items():
        largest = gradient.abs().max().item()
        torch.testing.assert_close(
            got[name], gradient, rtol=1e-3, atol=1e-4 * largest, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_attends_once_per_length(monkeypatch: pytest.MonkeyPatch) -> None:
    vision, calls = tower("sdpa"), []
    attend_in_windows(vision)
    once = torch.nn.functional.scaled_dot_product_attention

    def counted(query: Tensor, *rest: Tensor, **options: object) -> Tensor:
        calls.append(query.shape[0])
        return once(query, *rest, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    vision(torch.randn(3 * 256, 1176), grid_thw=torch.tensor([[3, 16, 16]]))
    assert calls == [12, 3]  # four windows of each picture, then whole pictures
