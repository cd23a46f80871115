"""What UniPixel and our own presets cost, station by station; see ``cost.py`` for the protocol.

Shapes: N images, P patches, C D widths, h w cells.
"""

from typing import Any

import torch
from torch import Tensor, nn

from deixis.evaluation.costing.bill import Bill, meta
from deixis.models.configs.deixis_config import DeixisConfig
from deixis.models.configs.unipixel_config import UniPixelConfig
from deixis.models.deixis import DeixisModel
from deixis.models.unipixel import UniPixelModel

SIDE = 448  # pixels of an image for Qwen2.5-VL, whose sides are free: 256 tokens, as CLIP's at 224


def unipixel_bill(bill: Bill, config: UniPixelConfig) -> None:
    """Count UniPixel, each image a picture of its own and drawn alone by SAM 2."""
    parts: tuple[Any, ...] = (config.text_config, config.vision_config)
    for part in parts:
        part._attn_implementation = "eager"
    model = UniPixelModel(config).eval().requires_grad_(False)
    text, vision = parts
    sam: Any = config.sam_config
    side = SIDE // vision.patch_size
    one = Bill(images=1, answer_tokens=0)
    features = one.count("vision", lambda: _qwen_sees(model.vision, side, vision))
    one.count("vision", lambda: model.merge(features))
    pixels = meta(1, 3, sam.image_size, sam.image_size)
    frame = one.count("vision", lambda: model.tracker.sam.look(pixels))
    bill.operations["vision"] += bill.images * one.operations["vision"]
    head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
    bill.language(model.language, head, bill.text + len(features) * bill.images)
    hidden = one.count("decoding", lambda: model.ask(meta(1, text.hidden_size)))
    one.count("decoding", lambda: model.tracker.draw_first(frame, hidden))
    bill.operations["decoding"] += bill.images * one.operations["decoding"]


def _qwen_sees(vision: Any, side: int, config: Any) -> Tensor:
    """Run the encoder on one image of side x side patches; features (cells, E) before the merge.

    Its own forward works out windows from values, which meta has none of; the blocks are the same.
    """
    patches = side * side
    inner = config.hidden_size // config.num_heads
    states = vision.patch_embed(
        meta(patches, config.in_channels * config.temporal_patch_size * config.patch_size**2)
    )
    across = vision.window_size // vision.patch_size
    windows = torch.arange(0, patches + 1, across * across, device="cpu")
    whole = torch.tensor([0, patches], device="cpu")
    turns = (meta(patches, inner), meta(patches, inner))
    for number, block in enumerate(vision.blocks):
        ends = whole if number in vision.fullatt_block_indexes else windows
        states = block(states, cu_seqlens=ends, position_embeddings=turns)
    merged: Tensor = vision.merger(states)
    return merged


def deixis_bill(bill: Bill, config: DeixisConfig) -> None:
    """Count the unified family: as many objects as it may propose, one target in each image.

    What it gathers by sorting and pooling is not counted; torch's counter knows products only.
    """
    text: Any = config.text_config
    text._attn_implementation = "eager"
    model = DeixisModel(config).eval().requires_grad_(False)
    height, width = config.canvas
    frames = meta(bill.images, 3, height, width)
    features, _ = bill.count("vision", lambda: model.vision.dense(frames))
    coarse = features[-1].flatten(2).transpose(1, 2)[None]  # (1, N, P, C)
    there = torch.ones(1, bill.images, dtype=torch.bool)
    bill.count("relation", lambda: model.relation(coarse, there))
    columns = bill.text + config.num_queries * bill.images
    if model.grid is not None:
        grid = model.grid
        bill.count("relation", lambda: grid(coarse))
        columns += coarse.shape[2] * bill.images
    if model.objects is not None:
        columns += config.most_objects * bill.images
    words = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
    bill.language(model.speech.decoder, words, columns)
    if model.codebook is None or model.pyramid is None:
        return
    one = Bill(images=1, answer_tokens=0)
    one.count("decoding", lambda: _draws(model, features[0].shape[1:]))
    bill.operations["decoding"] += bill.images * one.operations["decoding"]


def _draws(model: DeixisModel, size: torch.Size) -> Tensor:
    """Draw one target in one image with features (C, h, w), on the processor: the pyramid sorts
    rows by their image, which meta cannot. What the weights are makes no difference."""
    config: Any = model.config
    assert model.codebook is not None
    assert model.pyramid is not None
    with torch.device("cpu"):
        codebook = model.codebook.to_empty(device="cpu")
        pyramid = model.pyramid.to_empty(device="cpu")
        queries = codebook(torch.zeros(config.group_size, config.text_config.hidden_size))
        levels = [torch.zeros(1, *size)] * config.levels
        if model.vision.finest is not None:
            finest = model.vision.finest.to_empty(device="cpu")
            levels[-1] = finest(torch.zeros(1, 3, *config.canvas), levels[0])
        prior = torch.full((1, *size[1:]), 0.5) if model.objects is not None else None
        drawn: Tensor = pyramid(queries, levels, torch.zeros(1, dtype=torch.long), prior)
    return drawn
