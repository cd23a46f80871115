"""What `deixis doctor` says of memory, against a process that answers: within 15 %.

    python benchmarks/convert_memory.py [dtype] [tokens of the answer]

The mid-size model of the recordings' notes (LLaMA 512 wide, CLIP 768 wide, the full pixel
decoder; 156 M weights) with random weights; the answer is forced: two targets, then words.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from results import record

CASES = (("float32", 32), ("float32", 1024), ("bfloat16", 32), ("float16", 256))
CLIP = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "patch_size": 14,
    "image_size": 448,
    "hidden_act": "quick_gelu",
}
LLAMA = {
    "hidden_size": 512,
    "intermediate_size": 1376,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "max_position_embeddings": 2048,
    "vocab_size": 32009,
}


def write_model(folder: Path) -> None:
    """Write the model as a conversion would; its words are a tokenizer's of a few texts."""
    from transformers import CLIPVisionConfig, LlamaConfig

    from deixis.models.configs.pixellm_config import PixelLMConfig
    from deixis.models.pixellm import PixelLM
    from deixis.processing.pixellm import PixelLMProcessor

    config = PixelLMConfig(
        vision_config=CLIPVisionConfig(**CLIP), text_config=LlamaConfig(**LLAMA), most_answer=1024
    )
    texts = ["what is the red square in this image"] * 40
    processor = PixelLMProcessor.from_texts(config, texts)
    torch.manual_seed(0)
    PixelLM(config).save_pretrained(folder)
    processor.save_pretrained(folder)


def forced(model: Any, ids: Sequence[int]) -> None:
    """Have a model write these tokens, at the price of writing its own."""
    left, speak = iter(ids), model.speak

    def say(states: torch.Tensor) -> torch.Tensor:
        logits = speak(states).clone()
        logits[..., next(left)] += 1e4
        return logits

    model.speak = say


def child(folder: str, dtype: str, tokens: str) -> None:
    """Answer one question; print what was foretold and the peak of this process."""
    import numpy as np

    from deixis.conversion.memory import interpreter, memory_needed
    from deixis.reasoning.reasoner import load

    foretold = memory_needed(Path(folder), [int(tokens)])[dtype][int(tokens)] + interpreter()
    reasoner = load(folder, dtype=dtype)
    config = reasoner.model.config
    config.most_answer = int(tokens)
    words = [reasoner.processor.vocabulary.encode("red")[-1]] * int(tokens)
    forced(reasoner.model, [*config.group_tokens * 2, *words][: int(tokens)])
    picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    answer = reasoner.answer([picture], "What is the red square in this image?")
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    print(foretold, peak, len(answer.targets) + len(answer.absent))


def main() -> None:
    """Measure each case in a process of its own."""
    cases = CASES if len(sys.argv) < 3 else ((sys.argv[1], int(sys.argv[2])),)
    rows = []
    with TemporaryDirectory(dir=Path.cwd()) as name:
        write_model(Path(name))
        for dtype, tokens in cases:
            command = [sys.executable, __file__, "child", name, dtype, str(tokens)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            foretold, peak, targets = map(int, done.stdout.split()[-3:])
            rows.append(
                {
                    "dtype": dtype,
                    "tokens": tokens,
                    "targets": targets,
                    "foretold": foretold,
                    "measured": peak,
                    "off": round(foretold / peak - 1, 4),
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    record(
        __file__,
        "largest error of the memory that doctor foretells",
        max(abs(float(row["off"])) for row in rows),
        "< 0.15",
        cases=rows,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        main()
