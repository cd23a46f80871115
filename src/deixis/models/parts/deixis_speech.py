"""The language of the unified family: what the decoder is told, and what is read off its states.

Shapes: B rows, N question tokens, O objects per set, M targets, S images of a set, T answer
tokens, L levels, K tokens per level, D language width, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModel

from deixis.models.configs.deixis_config import DeixisConfig
from deixis.relation.choice import Choice
from deixis.relation.objects import Objects

NOTICED = 2  # ways in which a question touches an object: its words fit, or others stand beside it
MOST_TARGETS = 64  # rows of the table of places in an answer; later targets share the last


class Speech(nn.Module):
    """A causal decoder of transformers with the words' embeddings as its head."""

    def __init__(self, config: DeixisConfig) -> None:
        super().__init__()
        self.config = config
        width = config.text_config.hidden_size
        self.decoder = AutoModel.from_config(config.text_config)
        self.whole = nn.Linear(width, 1)
        self.part = nn.Linear(width, width)
        self.content = nn.Linear(width, width)
        self.nothing = nn.Parameter(torch.randn(width))
        self.ordinal = nn.Embedding(MOST_TARGETS, width)
        self.shown = nn.Linear(width, width)
        self.owner = nn.Linear(width, 1)
        self.noticing = nn.Linear(width, NOTICED)

    def begin(self) -> None:
        """Set what learning begins with."""
        with torch.no_grad():
            self.embeddings.weight.normal_(std=0.5)
            self.whole.bias.fill_(-1.5)
            self.owner.weight.zero_()
            self.owner.bias.zero_()
            self.noticing.bias.fill_(-1.5)

    @property
    def embeddings(self) -> nn.Embedding:
        """The words' embeddings (V, D)."""
        return self.decoder.get_input_embeddings()

    def words(self) -> dict[str, Tensor]:
        """Return kind -> (words, D): the mean embedding of each word's tokens."""
        out = {}
        for kind, tokens in self.config.word_tokens.items():
            most = max(len(t) for t in tokens)
            device = self.embeddings.weight.device
            ids = torch.tensor([t + [0] * (most - len(t)) for t in tokens], device=device)
            count = torch.tensor([len(t) for t in tokens], device=device)
            held = torch.arange(most, device=device) < count[:, None]
            rows = self.embeddings(ids) * held[..., None]
            out[kind] = rows.sum(1) / count[:, None]
        return out

    def speak(self, hidden: Tensor) -> Tensor:
        """Return the logits (..., V) of the next word; the words' own embeddings judge."""
        return hidden @ self.embeddings.weight.T * hidden.shape[-1] ** -0.5

    def exist(self, states: Tensor, objects: Objects, rows: Tensor) -> Tensor:
        """Return logits (B, O, 1 + parts): is this object, or this part of it, meant?

        Args:
            states: (B, O, D) of the objects' columns.
            objects: the table of the sets; rows: (B,) the set of each row.
        """
        states = states.to(self.part.weight.dtype)
        names = F.rms_norm(self.words()["part"], (states.shape[-1],), eps=1e-4)
        part = torch.einsum("bod,pd->bop", self.part(states), names) * states.shape[-1] ** -0.5
        part = part + self.owner(states) - 2  # is this part asked for, and is it this owner's?
        logits = torch.cat([self.whole(states), part], 2)
        valid = objects.valid[rows][..., None]
        able = torch.cat([valid, objects.parts[rows] & valid], 2)
        return logits.float().masked_fill(~able.to(logits.device), -30.0)

    def notice(self, states: Tensor) -> Tensor:
        """Return logits (B, O, 2) of the objects' states (B, O, D) half way through the decoder:
        what a question touches on its way to what it means. They help to learn and no more."""
        states = F.rms_norm(states.to(self.noticing.weight.dtype), (states.shape[-1],), eps=1e-4)
        return self.noticing(states).float()

    def written(self, tokens: Tensor, about: Tensor, choice: Choice) -> Tensor:
        """Return the embeddings (B, T, D) of answers (B, T); groups carry what they are about."""
        embedded = self.embeddings(tokens)
        size = self.config.group_size
        starts = self.starts(tokens, choice)
        columns = starts[:, None] + torch.arange(size, device=tokens.device)
        rows = choice.row[:, None].expand_as(columns)
        values = about[:, None].expand(-1, size, -1).to(embedded.dtype)
        fits = columns < tokens.shape[1]
        return embedded.index_put((rows[fits], columns[fits]), values[fits], accumulate=True)

    def starts(self, tokens: Tensor, choice: Choice) -> Tensor:
        """Return the column (M,) of answers (B, T) at which each target's group begins."""
        first = (tokens == self.config.group_token).to(torch.uint8).argmax(1)
        return first[choice.row] + choice.order * self.config.group_size

    def about(self, content: Tensor, choice: Choice) -> Tensor:
        """Return (M, D): each target's objects out of (M, O, D), its part, and its place."""
        count = choice.tokens.sum(1, keepdim=True)
        mean = torch.einsum("mo,mod->md", choice.tokens.to(content.dtype), content)
        mean = torch.where(count > 0, mean / count.clamp(min=1), self.nothing)
        names = F.pad(self.words()["part"], (0, 0, 1, 0))[choice.part]
        part = F.rms_norm(names, (names.shape[-1],), eps=1e-4) * 2
        ordinal = self.ordinal(choice.order.clamp(max=MOST_TARGETS - 1))
        return self.content(mean + part) + ordinal

    def presence(self, slots: Tensor, images: Tensor) -> Tensor:
        """Return logits (M, S): does a target show in an image, by the states alone?

        Args:
            slots: (M, L * K, D).
            images: (M, S, rows, D) states of the images' rows.
        """
        asked = slots.mean(1).float()
        keys = self.shown(images.mean(2)).float()
        return torch.einsum("md,msd->ms", asked, keys) * asked.shape[-1] ** -0.5
