"""What the doctor says that an answer needs, against a process that answers."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import CLIPVisionConfig, LlamaConfig

from deixis.conversion.memory import memory_needed
from deixis.errors import ConfigError, WeightsError
from deixis.models.configs.pixellm_config import PixelLMConfig
from deixis.models.pixellm import PixelLM
from deixis.processing.pixellm import PixelLMProcessor

WITHIN = 0.15
ANSWERS = """
import sys
from pathlib import Path
import numpy as np
from deixis.conversion.memory import interpreter, memory_needed
from deixis.reasoning.reasoner import load
folder, dtype, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3])
foretold = memory_needed(Path(folder), [tokens])[dtype][tokens] + interpreter()
reasoner = load(folder, dtype=dtype)
reasoner.model.config.most_answer = tokens
words = iter([*reasoner.model.config.group_tokens * 2, *[9] * tokens])
speak = reasoner.model.speak
def say(states):
    logits = speak(states).clone()
    logits[..., next(words)] = 1e4
    return logits
reasoner.model.speak = say
picture = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
answer = reasoner.answer([picture], "What is red?")
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
print(foretold, peak, len(answer.targets) + len(answer.absent))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model of 0.12 B random weights, so that what is foretold is not the interpreter alone."""
    config = PixelLMConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8,
            patch_size=14, image_size=448,
        ),
        text_config=LlamaConfig(
            vocab_size=32009, hidden_size=768, intermediate_size=2048, num_hidden_layers=4,
            num_attention_heads=8, num_key_value_heads=8, max_position_embeddings=2048,
        ),
    )  # fmt: skip
    processor = PixelLMProcessor.from_texts(config, ["what is the red square"] * 40)
    place = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    PixelLM(config).save_pretrained(place)
    processor.save_pretrained(place)
    return place


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says its peak")
@pytest.mark.parametrize(("dtype", "tokens"), [("float32", 24), ("bfloat16", 24)])
def test_an_answer_takes_what_was_foretold(folder, dtype, tokens):
    command = [sys.executable, "-c", ANSWERS, str(folder), dtype, str(tokens)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    foretold, peak, targets = map(int, done.stdout.split()[-3:])
    assert targets == 2
    assert foretold == pytest.approx(peak, rel=WITHIN)


def test_shorter_types_need_less_and_longer_answers_more(folder):
    need = memory_needed(folder, [32, 1024])
    assert need["float32"][32] > need["bfloat16"][32] == need["float16"][32]
    kept = 2 * 4 * 768 * (1024 - 32) * 4  # keys and values of four layers
    assert need["float32"][1024] - need["float32"][32] >= kept


def test_a_folder_of_another_kind_or_cut_short_is_refused(folder, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    with pytest.raises(ConfigError, match=r'expected a model of pixellm.* got "resnet"\. Count'):
        memory_needed(tmp_path, [32])
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    weights = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:64])
    with pytest.raises(WeightsError, match="expected whole safetensors weights"):
        memory_needed(tmp_path, [32])
