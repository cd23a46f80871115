"""The unified family: every station of the road at once, any of them switched off by the config.

Images, clips, prompts and remembered objects in; words, and masks for what they name, out. The
prefix of the language decoder holds each image's rows (relation), the question with its prompts,
and the objects that the vision part noticed; it is read in both directions. Each object's state
says whether the question means it (existence), as a whole or by one of its parts. What is meant
is written as codebook groups; then come words; the groups' states become masks.

Shapes: F frames of G sets, B rows (questions), W columns of the prefix, O objects per set,
M targets, S images of a set, T answer tokens, R mask rows (target x frame), L levels,
K tokens per level, D language width, h w cells of stride 2, hm wm of masks.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from deixis.decoding.codebook import CodebookFusion
from deixis.decoding.pyramid import PyramidDecoder
from deixis.language.copying import Copying
from deixis.language.generate import Reading, read_prefix
from deixis.language.midway import told_before
from deixis.language.together import Change, read_layers
from deixis.models.configs.deixis_config import (
    DeixisConfig,
    deixis_base,
    deixis_shipped,
    deixis_small,
    deixis_tiny,
)
from deixis.models.interface import gather_slots
from deixis.models.parts.deixis_copied import copied_kinds, copied_words
from deixis.models.parts.deixis_prompts import Prompting
from deixis.models.parts.deixis_seen import Seen, Slots
from deixis.models.parts.deixis_speech import NOTICED, Speech
from deixis.models.parts.deixis_teaching import (
    Taught,
    choice_without_objects,
    taught,
    true_choice,
    true_rows,
)
from deixis.models.parts.deixis_vision import DeixisVision, drawing
from deixis.nn.familiar import Familiar
from deixis.processing.batch import Batch, Layout, Output
from deixis.relation.choice import Choice, MaskRows, mask_rows
from deixis.relation.entities import Linking
from deixis.relation.likeness import Likeness
from deixis.relation.midway import Midway
from deixis.relation.neighbours import Compared
from deixis.relation.objects import (
    Look,
    Objects,
    ObjectTokens,
    blend,
    gather_objects,
    no_objects,
)
from deixis.relation.square import SQuARE, SQuAREConfig

PRESETS = {
    "deixis_tiny": deixis_tiny,
    "deixis_shipped": deixis_shipped,
    "deixis_small": deixis_small,
    "deixis_base": deixis_base,
}


class DeixisModel(PreTrainedModel):
    """Answers questions about sets of images and clips in words and masks."""

    config_class = DeixisConfig
    main_input_name = "batch"

    def __init__(self, config: DeixisConfig) -> None:
        super().__init__(config)
        words = {kind: len(names) for kind, names in config.words.items()}
        width, fine, coarse = config.text_config.hidden_size, config.fine_width, config.coarse_width
        self.vision = DeixisVision(config)
        self.relation = SQuARE(
            SQuAREConfig(
                num_queries=config.num_queries,
                query_width=width,
                feature_width=coarse,
                num_heads=config.text_config.num_attention_heads,
                relation=config.relation,
            )
        )
        self.grid = nn.Linear(coarse, width) if config.grid_tokens else None
        self.objects: ObjectTokens | None = None
        if config.object_tokens:
            self.objects = ObjectTokens(
                words,
                fine,
                words["part"] * words["colour"],
                width,
                config.most_entities,
                config.neighbours,
                config.deeds,
            )
        self.image_gain = nn.Parameter(torch.full((2,), 0.3))
        self.prompting = Prompting(config) if config.prompts else None
        self.speech = Speech(config)
        told = config.midway and config.object_tokens
        self.midway = Midway(NOTICED, width) if told else None
        copies = config.copying and config.object_tokens
        self.copying = Copying(width, len(copied_kinds(config))) if copies else None
        self.codebook: CodebookFusion | None = None
        self.pyramid: PyramidDecoder | None = None
        if config.decoding == "pyramid":
            self.codebook, self.pyramid = drawing(config)
        self.score = nn.Linear(width, 1)
        self.familiar = Familiar()
        self.post_init()
        self.speech.begin()

    def _init_weights(self, module: nn.Module) -> None:
        """Keep what each station began with; the language decoder knows its own way."""

    def forward(self, batch: Batch) -> Output:
        """Read images, questions and true answers together, for training."""
        assert batch.truth is not None, "forward learns from true answers; to ask, use see"
        seen = self.see(batch)  # vision, relation, prompting: (B, W, D)
        choice = self.true_choice(batch, seen)  # (M, O)
        hidden, halfway = self.read(seen, batch.truth.tokens, choice)  # language: (B, W + T, D)
        slots = self.slots(hidden, seen, choice, batch.truth.tokens)  # (M, L * K, D)
        rows, masks = self.true_rows(batch, seen, choice)  # (R,)
        output = self.point(slots, seen, rows)  # decoding: (R, hm, wm)
        text = self.speaking(hidden, seen)(hidden[:, seen.prefix.shape[1] - 1 : -1])  # (B, T, V)
        taught = self.taught(batch, seen, hidden, halfway, slots)
        return replace(output, text_logits=text, extra=replace(taught, true_mask=masks))

    # -- the road to the first word ------------------------------------------------------------

    def see(self, batch: Batch, look: Look | None = None) -> Seen:
        """Look at the images, relate them, and lay out what the language decoder reads first."""
        config, layout, rows = self.config, batch.layout, batch.set_of_row
        look = look or self.vision.look(batch.pixels)
        words = self.speech.words()
        objects = self._gather(look, layout)
        known = self.objects.compared(objects) if self.objects is not None else None
        content, deeds = self._contents(objects, known, words)  # (G, O, D)
        images, image_held = self._image_rows(look, layout, words["number"])  # (G, I, D)
        question = self.speech.embeddings(batch.question)  # (B, N, D)
        told = content[rows]
        called = torch.zeros_like(objects.valid[rows])
        if self.prompting is not None and len(batch.prompts.row):
            entity = self.objects.entity if self.objects is not None else None
            pointed = self.prompting(batch, look, objects, words, entity, known)
            slots = (batch.prompts.row, batch.prompts.column)
            question = question.index_put(slots, pointed.tokens.to(question.dtype))
            told = pointed.marked(told) if self.objects is not None else told
            called[pointed.row, pointed.object] = True
        answer = self.speech.embeddings(torch.full_like(rows, config.answer_token))[:, None]
        asked = batch.asked.sum(1, keepdim=True)
        held = [
            image_held[rows],
            batch.asked,
            objects.valid[rows] & config.object_tokens,
            torch.ones_like(asked, dtype=torch.bool),
        ]
        steps = torch.arange(question.shape[1], device=rows.device) + 1
        places = [
            torch.zeros_like(held[0], dtype=torch.long),
            steps.expand(len(rows), -1),
            torch.zeros_like(held[2], dtype=torch.long),
            asked + 1,
        ]
        parts = [images[rows], question, told, answer]
        return Seen(
            look=look,
            objects=objects,
            layout=layout,
            set_of_row=rows,
            content=content,
            known=known,
            called=called,
            deeds=deeds,
            prefix=torch.cat([part.to(question.dtype) for part in parts], 1),
            held=torch.cat(held, 1),
            positions=torch.cat(places, 1),
            image_columns=images.shape[1],
            first_object=images.shape[1] + question.shape[1],
        )

    def _gather(self, look: Look, layout: Layout) -> Objects:
        config = self.config
        if self.objects is None:
            return no_objects(look, layout.num_images, len(config.words["part"]))
        return gather_objects(
            look,
            set_of_frame=layout.set,
            image=layout.image,
            clip=layout.clip,
            num_sets=len(layout.num_images),
            rule=Linking(
                likeness=config.likeness,
                likeness_nearby=config.likeness_nearby,
                reach=config.reach,
            ),
            likeness=Likeness.of(config.identity_width, config.words),
            least_part=config.least_part,
        )

    def _contents(
        self, objects: Objects, known: Compared | None, words: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """Return the objects' tokens (G, O, D), zeros where the model has none, and their deeds."""
        if self.objects is None or known is None:
            width = words["number"].shape[1]
            return words["number"].new_zeros(*objects.valid.shape, width), None
        return self.objects(objects, known, words, words["number"])

    def _image_rows(self, look: Look, layout: Layout, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return each set's rows (G, S * (Q + grid), D) and which are held; a clip is one image,
        the mean of its frames."""
        sets, most = len(layout.num_images), int(layout.num_images.max())
        place = layout.set * most + layout.image  # (F,)
        count = torch.bincount(place, minlength=sets * most).clamp(min=1)
        coarse, device = look.coarse, look.coarse.device
        total = coarse.new_zeros(sets * most, *coarse.shape[1:])
        total = total.index_add(0, place.to(device), coarse)
        mean = total / count.to(device)[:, None, None, None]
        features = mean.flatten(2).transpose(1, 2).unflatten(0, (sets, most))  # (G, S, P, C)
        there = torch.arange(most, device=place.device) < layout.num_images[:, None]
        rows = self.relation(features.to(self.image_gain.dtype), there.to(device))  # (G, S, Q, D)
        if self.grid is not None:
            rows = torch.cat([rows, self.grid(features.to(self.image_gain.dtype))], 2)
        index = torch.arange(most, device=place.device).clamp(max=len(numbers) - 1)
        rows = blend([rows, numbers[index][:, None].expand_as(rows)], self.image_gain)
        return rows.flatten(1, 2), there.repeat_interleave(rows.shape[2], 1)

    # -- language ----------------------------------------------------------------------------

    def read(self, seen: Seen, tokens: Tensor, choice: Choice) -> tuple[Tensor, Tensor]:
        """Return the states (B, W + T, D) of the prefix and of an answer (B, T) with its groups,
        at the end of the decoder and half way through it."""
        answer = self.written(tokens, seen, choice)
        before, after = seen.prefix.shape[1], tokens.shape[1]
        steps = torch.arange(after, device=tokens.device) + 1
        written = tokens != self.config.pad_token
        last, halfway = read_layers(
            self.speech.decoder,
            torch.cat([seen.prefix, answer.to(seen.prefix.dtype)], 1),
            held=torch.cat([seen.held, written], 1),
            positions=torch.cat([seen.positions, seen.positions[:, -1:] + steps], 1),
            prefix=before,
            layers=(self.halfway,),
            change=self._told_midway(seen),
        )
        return last, halfway

    def read_prefix(self, seen: Seen) -> tuple[Tensor, Reading]:
        """Read what stands before the first word; return its states (B, W, D), and where the
        language decoder goes on from."""
        read = (self.speech.decoder, seen.prefix, seen.held, seen.positions)
        change = self._told_midway(seen)
        if change is None:
            return read_prefix(*read)
        rows = torch.arange(len(seen.prefix), device=seen.prefix.device)
        with told_before(self.speech.decoder, self.halfway, lambda states: change(states, rows)):
            return read_prefix(*read)

    @property
    def halfway(self) -> int:
        """The layer, from 0, before which objects are told what the question touches."""
        return int(self.config.text_config.num_hidden_layers) // 2

    def _told_midway(self, seen: Seen) -> Change | None:
        """Return what changes the states (b, W or more, D) of some rows half way through."""
        known, midway = seen.known, self.midway
        if known is None or midway is None:
            return None
        first, last = seen.first_object, seen.first_object + seen.objects.valid.shape[1]

        def change(states: Tensor, rows: Tensor) -> Tensor:
            sets = seen.set_of_row[rows]
            touched = self.speech.notice(states[:, first:last]).sigmoid()
            told = midway(touched * seen.objects.valid[sets][..., None], known, sets)
            beside = (0, 0, first, states.shape[1] - last)
            return states + F.pad(told.to(states.dtype), beside)

        return change

    def written(self, tokens: Tensor, seen: Seen, choice: Choice) -> Tensor:
        """Return the embeddings (B, T, D) of an answer; groups carry what they are about. Without
        object tokens they are words like others, which the language decoder writes by itself."""
        if self.objects is None:
            return self.speech.embeddings(tokens)
        content = seen.content[seen.set_of_row[choice.row]]  # (M, O, D)
        return self.speech.written(tokens, self.speech.about(content, choice), choice)

    def speaking(self, hidden: Tensor, seen: Seen) -> Callable[[Tensor], Tensor]:
        """Return what turns states (B, T, D) or (B, D) into logits of the next word, after the
        states (B, W or more, D) of the prefix: words of objects can be copied."""
        if self.copying is None or self.objects is None:
            return self.speech.speak
        known = self.objects.known_words(seen.objects)
        copy = self.copying.source(
            self._of_objects(hidden, seen),
            seen.objects.valid[seen.set_of_row],
            copied_words(seen, known, self.fits(hidden, seen), self.speech.words()),
        )
        return lambda states: self.speech.speak(states + copy(states))

    def fits(self, hidden: Tensor, seen: Seen) -> Tensor:
        """Return logits (B, O): does what is asked hold for this object?"""
        assert self.copying is not None
        logits = self.copying.fits(self._of_objects(hidden, seen))
        return logits.masked_fill(~seen.objects.valid[seen.set_of_row].to(logits.device), -30.0)

    def exist(self, hidden: Tensor, seen: Seen) -> Tensor:
        """Return logits (B, O, 1 + parts): is this object, or this part of it, meant?"""
        states = self._of_objects(hidden, seen)
        return self.speech.exist(states, seen.objects, seen.set_of_row)

    def _of_objects(self, hidden: Tensor, seen: Seen) -> Tensor:
        return hidden[:, seen.first_object :][:, : seen.objects.valid.shape[1]]  # (B, O, D)

    def presence(self, slots: Slots, seen: Seen, hidden: Tensor) -> Tensor:
        """Return logits (M, S): does a target show in an image, by the states alone?"""
        rows = hidden[slots.choice.row, : seen.image_columns]
        logits = self.speech.presence(slots.hidden, rows.unflatten(1, (seen.num_images, -1)))
        there = self.image_there(seen, slots.choice).to(logits.device)
        return logits.masked_fill(~there, -30.0)

    def image_there(self, seen: Seen, choice: Choice) -> Tensor:
        """Return (M, S): which images the set of each target has."""
        count = seen.layout.num_images[seen.set_of_row[choice.row]]
        return torch.arange(seen.num_images, device=count.device) < count[:, None]

    def slots(self, hidden: Tensor, seen: Seen, choice: Choice, tokens: Tensor) -> Slots:
        """Return the states of each target's group out of (B, W + T, D), for answers (B, T)."""
        starts = seen.prefix.shape[1] + self.speech.starts(tokens, choice)
        where = torch.stack([choice.row, starts], 1)
        return Slots(hidden=gather_slots(hidden, where, self.config.group_size), choice=choice)

    # -- decoding ----------------------------------------------------------------------------

    def point(self, slots: Slots, seen: Seen, rows: MaskRows | None = None) -> Output:
        """Draw each target in every frame that shows one of its objects."""
        rows = rows or self.mask_rows(seen, slots.choice)
        prior = None
        if self.objects is not None:
            prior = self._prior(seen.look, rows, slots.choice.part[rows.target])  # (R, h, w)
        return Output(
            mask_logits=self._drawn(slots, seen.look, rows, prior),
            target=rows.target,
            frame=rows.frame,
            presence=slots.choice.presence,
            score=self.score(slots.hidden.mean(1))[:, 0].float().sigmoid(),
        )

    def _drawn(self, slots: Slots, look: Look, rows: MaskRows, prior: Tensor | None) -> Tensor:
        """Return mask logits (R, hm, wm); ``prior`` (R, h, w) is what proposals say."""
        if self.codebook is None or self.pyramid is None:
            assert prior is not None, "proposals are drawn for objects"
            return torch.logit(prior, eps=1e-4)
        queries = self.codebook(slots.hidden.flatten(0, 1))  # (M, L, C)
        features, frame = self.vision.levels(look, rows.frame, queries.dtype)
        prior = prior if prior is None else prior.to(queries.dtype)
        return self.pyramid(queries[rows.target], features, frame, prior)

    def mask_rows(self, seen: Seen, choice: Choice) -> MaskRows:
        """Return in which frames each target is drawn: where its objects show, or, without
        object tokens, in every frame of its set."""
        if self.objects is not None:
            return mask_rows(seen.objects, seen.layout.set, seen.set_of_row, choice)
        same = seen.set_of_row[choice.row][:, None] == seen.layout.set
        target, frame = torch.nonzero(same, as_tuple=True)
        return MaskRows(target=target, frame=frame, proposal=torch.full_like(frame, -1))

    def parts(self, look: Look) -> Tensor:
        """Return (K, parts, h, w): the probabilities of part words in the frames that are kept."""
        return look.words[:, -len(self.config.words["part"]) :]

    def _prior(self, look: Look, rows: MaskRows, part: Tensor) -> Tensor:
        """Return (R, h, w): the proposal's own cells, or those of the part; 0.5 without one."""
        known = rows.proposal >= 0
        prior = look.proposals.masks[rows.frame, rows.proposal.clamp(min=0)].clone()
        cut = torch.nonzero(known & (part > 0))[:, 0]
        prior[cut] *= self.parts(look)[rows.frame[cut], part[cut] - 1]
        return torch.where(known[:, None, None], prior, 0.5)

    # -- learning ----------------------------------------------------------------------------

    def true_choice(self, batch: Batch, seen: Seen) -> Choice:
        """Return the objects that the true targets lie on."""
        look, rows = seen.look, seen.set_of_row
        assert batch.truth is not None
        if self.objects is None:
            return choice_without_objects(batch.truth.row, batch.truth.order, seen.num_images)
        return true_choice(batch.truth, look, self.parts(look), seen.objects, rows, seen.num_images)

    def true_rows(self, batch: Batch, seen: Seen, choice: Choice) -> tuple[MaskRows, Tensor]:
        """Return the mask rows whose truth is known, and which true mask each has."""
        assert batch.truth is not None
        rows = self.mask_rows(seen, choice)
        return true_rows(batch.truth, rows, len(batch.pixels), self.config.most_mask_rows)

    def taught(
        self, batch: Batch, seen: Seen, hidden: Tensor, halfway: Tensor, slots: Slots
    ) -> Taught:
        """Return what is learned beside words and masks, with its truth."""
        assert batch.truth is not None
        return taught(
            batch.truth,
            seen,
            slots.choice,
            existence=self.exist(hidden, seen),
            presence=self.presence(slots, seen, hidden),
            there=self.image_there(seen, slots.choice),
            noticed=self.speech.notice(self._of_objects(halfway, seen)),
            fitting=self.fits(hidden, seen) if self.copying is not None else None,
            with_objects=self.objects is not None,
        )
