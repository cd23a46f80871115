"""Wall time and peak memory of a PRIMA-shaped and a GLaMM-shaped model of middle size.

    python benchmarks/prima_time.py [--repeats 3] [--answer 32]

Both have the same language decoder, SAM and text; one reads 32 rows of each image through SQuARE
and a Q-Former, the other 576 patch tokens. The sides alternate, every measurement in a process of
its own, 1 to 5 images. Writes ``prima_time.json`` beside this file. Run it on a quiet machine.
"""

import argparse
import json
import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, DynamicCache

from deixis.evaluation.costing.bill import NAMED, QUESTION, TEXT
from deixis.models.configs.prima_config import VICUNA, PrimaConfig
from deixis.models.prima import PrimaModel

SIDES = ("prima", "glamm")
WIDTH, CLIP_SIDE = 768, 336


def config() -> PrimaConfig:
    """Return a PRIMA of some 190 million weights, with the published numbers of tokens."""
    vision = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 8}
    text = {"hidden_size": WIDTH, "intermediate_size": 2048, "num_hidden_layers": 12}
    sam = {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 8}
    return PrimaConfig(
        vision_config={**vision, "num_attention_heads": 6, "image_size": 224, "patch_size": 14},
        qformer_config={
            "vocab_size": 30523,
            "hidden_size": 384,
            "num_hidden_layers": 4,
            "num_attention_heads": 6,
            "intermediate_size": 1536,
            "encoder_hidden_size": 384,
        },
        text_config={**VICUNA, **text, "num_attention_heads": 12},
        sam_config={
            "vision_config": {
                **sam,
                "image_size": 512,
                "global_attn_indexes": [2, 5],
                "num_pos_feats": 128,
            },
            "prompt_encoder_config": {"image_size": 512},
        },
        relation_heads=6,
        fuse_heads=6,
    )


@torch.inference_mode()
def measure(side: str, images: int, answer: int) -> dict[str, Any]:
    """Return seconds until the prompt is read, until all is drawn, and the peak of memory (MB)."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    made = config()
    model = PrimaModel(made).eval()
    clip, projector = None, None
    if side == "glamm":
        clip = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=384,
                intermediate_size=1536,
                num_hidden_layers=8,
                num_attention_heads=6,
                image_size=CLIP_SIDE,
                patch_size=14,
            )
        ).eval()
        projector = torch.nn.Linear(384, WIDTH)
        model.vision, model.qformer = torch.nn.Identity(), torch.nn.Identity()
    eva = torch.randn(images, 3, 224, 224)
    canvas = torch.randn(images, 3, 512, 512)
    text = torch.randn(1, TEXT + NAMED * images, WIDTH)
    begun = perf_counter()
    if clip is not None and projector is not None:
        seen = clip(torch.randn(images, 3, CLIP_SIDE, CLIP_SIDE)).last_hidden_state[:, 1:]
        rows = projector(seen)
    else:
        rows = _prima_rows(model, eva)
    masks = model.decoding.look(canvas)
    cache = DynamicCache(config=model.language.config)
    given = torch.cat([rows.flatten(0, 1)[None], text], 1)
    state = model.language.model(inputs_embeds=given, past_key_values=cache).last_hidden_state
    read = perf_counter() - begun
    for _ in range(answer):
        word = model.language.lm_head(state[:, -1:]).argmax(-1)
        state = model.language.model(
            inputs_embeds=model.language.get_input_embeddings()(word), past_key_values=cache
        ).last_hidden_state
    prompts = model.seg_head(state[:, -1]).expand(images, -1)
    model.decoding.draw(prompts, torch.arange(images), masks)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"read": read, "whole": perf_counter() - begun, "megabytes": peak}


def _prima_rows(model: PrimaModel, pixels: torch.Tensor) -> torch.Tensor:
    """Return the rows (N, Q, D) of all images of one set."""
    features = model.vision(pixels)
    there = torch.ones(1, len(features), dtype=torch.bool)
    queries = model.relation.relate(features[None], there).expand(len(features), -1, -1)
    out = model.qformer(
        input_ids=torch.zeros(len(features), QUESTION, dtype=torch.long),
        query_embeds=queries,
        encoder_hidden_states=features,
    ).last_hidden_state
    return model.projection(out[:, : queries.shape[1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--answer", type=int, default=32)
    parser.add_argument("--most", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.repeats):
        for images in range(1, options.most + 1):
            for side in SIDES:
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    one = pool.submit(measure, side, images, options.answer).result()
                found.setdefault(f"{side}/{images}", []).append(one)
                print(side, images, one, flush=True)
    rows = {
        key: {name: round(median(one[name] for one in runs), 3) for name in runs[0]}
        for key, runs in found.items()
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
