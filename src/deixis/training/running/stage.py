"""One stage of a training: transformers' ``Trainer`` over whole steps, with named loss parts.

The trainer brings the loop, clipping, checkpoints and random states; what is ours: a step's batch
comes from the mixture, the loss from an objective, and a checkpoint counts only when it is sealed.
"""

import gc
import math
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import DefaultFlowCallback, PrinterCallback

from deixis.config import Judging, Stage
from deixis.errors import ConfigError
from deixis.nn.attention import attending_plainly
from deixis.training.running.adapters import rest_idle
from deixis.training.running.checkpoints import (
    keep_latest,
    read_json,
    replacing,
    seal,
    write_json,
)
from deixis.training.running.feeding import Objective, Processor, Steps, make_loader
from deixis.training.running.optimizing import freeze, frozen_modules, make_optimizer, make_schedule
from deixis.training.running.processes import (
    as_forward,
    is_first,
    is_one_of_many,
    noted_by_all,
    number_of_processes,
)
from deixis.training.running.watching import Display, Journal, Window

KEPT_CHECKPOINTS = 2
WINDOW = "window.json"
JUDGED = "judged.json"


class Judge(Protocol):
    """Scores the model in a folder on fixed questions; the mean of the scores is what counts."""

    def __call__(self, model: Path, settings: Judging) -> Mapping[str, float]: ...


class Paint(Protocol):
    """Draws what the model in a folder answers; the picture can be saved (a PIL image)."""

    def __call__(self, model: Path, settings: Judging | None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who looks at a run while it goes on.

    Attributes:
        folder: of the run; ``last/``, ``best/`` and ``pictures/`` are made there.
        journal: of the first process; the others write nothing.
        publish: writes the model into ``last/``; ``save_pretrained`` if not given.
    """

    folder: Path
    display: Display
    journal: Journal | None = None
    judge: Judge | None = None
    paint: Paint | None = None
    publish: Callable[[PreTrainedModel, Path], None] | None = None


class StageTrainer(Trainer):
    """Trains one stage; ``save`` and ``log`` are complete, so that a resumed curve is the same."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        stage: Stage,
        steps: Steps,
        objective: Objective,
        processor: Processor,
        watchers: Watchers,
        seed: int,
    ) -> None:
        self.stage = stage
        self.trained = model
        self.feed = make_loader(steps, objective, stage.workers)
        self.objective: Objective = objective
        self.processor = processor
        self.watchers = watchers
        self.window = Window()
        self.factors = freeze(model, stage.train)
        self.frozen = list(frozen_modules(model))
        self.begun = False
        cached = {key: value for key, value in vars(model.config).items() if key == "use_cache"}
        super().__init__(
            model,
            _arguments(stage, watchers.folder / stage.name, seed),
            train_dataset=steps,
            callbacks=[Watch(self)],
        )
        vars(model.config).pop("use_cache", None)  # the Trainer's own wish is not the model's
        vars(model.config).update(cached)
        self.remove_callback(DefaultFlowCallback)
        self.remove_callback(PrinterCallback)

    def go(self, resume: Path | None) -> None:
        """Train to the last step, from a sealed checkpoint where there is one."""
        if resume is not None and (state := read_json(resume / WINDOW)):
            self.window.restore(state)
        with passed_over_by_garbage_collection():
            self.train(resume_from_checkpoint=str(resume) if resume else None)

    def take_weights(self, checkpoint: Path) -> None:
        """Begin with the weights of a checkpoint, of this stage or of another."""
        self._load_from_checkpoint(str(checkpoint))

    def get_train_dataloader(self) -> DataLoader:
        return self.feed

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = make_optimizer(self.trained, self.stage.optimizer, self.factors)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.lr_scheduler is None:
            optimizer = optimizer or self.create_optimizer()
            self.lr_scheduler = make_schedule(optimizer, self.stage.optimizer, num_training_steps)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Return the sum of the objective's parts, each of which is noted."""
        for module in self.frozen:
            module.eval()
        if not self.begun:  # with the weights that it goes on from
            rest_idle(self.trained)
            self.begun = True
        device = self.args.device
        bf16 = self.stage.precision == "bf16"
        plainly = (
            attending_plainly(self.trained) if bf16 and device.type == "cpu" else nullcontext()
        )
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16), plainly:
            batch = inputs["batch"].to(device)
            parts = as_forward(model, self.trained, self.objective, batch)
        values = torch.stack([part.detach().float() for part in parts.values()]).tolist()
        noted = dict(zip(parts, values, strict=True))
        self._check_finite(noted)
        share = inputs["sets"] * number_of_processes() / self.stage.batch  # of each set the same
        self.window.add(*noted_by_all(noted, share, inputs["questions"]))
        return share * torch.stack([part.float() for part in parts.values()]).sum()

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # counted by evaluation/costing/cost.py, not by a rule of thumb

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "train_runtime" in logs:  # the Trainer's farewell; our journal has it all
            return
        line = self.window.close()
        line |= {key: logs[key] for key in ("learning_rate", "grad_norm") if key in logs}
        super().log({"loss": line["loss"]}, start_time)
        if self.watchers.journal:
            self.watchers.journal.write(self.state.global_step, line)
        self.watchers.display.show(line)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = self.watchers.folder / self.stage.name / f"checkpoint-{self.state.global_step}"
        if is_first():
            shutil.rmtree(folder, ignore_errors=True)  # a torn one of an interrupted training
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if is_first():
            self._complete(folder)
        self.accelerator.wait_for_everyone()

    def _complete(self, folder: Path) -> None:
        """Seal a checkpoint when all have written their part of it."""
        self.processor.save_pretrained(folder)
        write_json(folder / WINDOW, self.window.state())
        seal(folder)
        keep_latest(folder.parent, KEPT_CHECKPOINTS)

    def _check_finite(self, parts: Mapping[str, float]) -> None:
        for name, value in parts.items():
            if not math.isfinite(value):
                raise ConfigError(
                    f'loss part "{name}": expected a finite number at step '
                    f'{self.state.global_step + 1} of stage "{self.stage.name}", got {value}. '
                    f"Lower optimizer.lr, or try precision=fp32; what was saved before is kept."
                )


class Watch(TrainerCallback):
    """Says when to log, save, judge and paint, and keeps ``last/`` and ``best/``."""

    def __init__(self, trainer: StageTrainer) -> None:
        self.trainer = trainer
        self.stage = trainer.stage
        self.watchers = trainer.watchers
        self.clock = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.clock = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = time.perf_counter()
        self.trainer.window.spend(now - self.clock)
        step, at_end = state.global_step, state.global_step >= self.stage.steps
        control.should_log = at_end or step % self.stage.log_every == 0
        control.should_save = at_end or step % self.stage.save_every == 0
        control.should_training_stop = at_end
        self.watchers.display.advance()
        if is_first():
            self._look(step, control.should_save)
        self.clock = time.perf_counter()

    def _look(self, step: int, saved: bool) -> None:
        judged = self._due(self.stage.judge_every, step)
        painted = self._due(self.stage.pictures_every, step)
        if saved or judged or painted:
            self._publish()
        if judged and self.watchers.judge and self.stage.judge:
            self._judge(step, self.watchers.judge, self.stage.judge)
        if painted and self.watchers.paint:
            self._paint(step, self.watchers.paint)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.clock = time.perf_counter()

    def _due(self, every: int | None, step: int) -> bool:
        return every is not None and (step % every == 0 or step >= self.stage.steps)

    def _publish(self) -> None:
        with replacing(self.watchers.folder / "last") as folder:
            publish = self.watchers.publish or PreTrainedModel.save_pretrained
            publish(self.trainer.trained, folder)
            self.trainer.processor.save_pretrained(folder)

    def _judge(self, step: int, judge: Judge, settings: Judging) -> None:
        folder = self.watchers.folder
        with untouched_randomness():
            scores = dict(judge(folder / "last", settings))
        mean = sum(scores.values()) / max(len(scores), 1)
        if self.watchers.journal:
            self.watchers.journal.write(step, {"judge": scores, "score": mean})
        best = read_json(folder / "best" / JUDGED).get("score", -math.inf)
        self.watchers.display.say(
            f"{self.stage.name}, step {step}: score {mean:.4f}"
            + (" (best so far)" if mean > best else f" (best {best:.4f})")
        )
        if mean > best:
            with replacing(folder / "best") as new:
                shutil.copytree(folder / "last", new, dirs_exist_ok=True)
                write_json(
                    new / JUDGED,
                    {"score": mean, "scores": scores, "stage": self.stage.name, "step": step},
                )

    def _paint(self, step: int, paint: Paint) -> None:
        folder = self.watchers.folder
        with untouched_randomness():
            picture = paint(folder / "last", self.stage.judge)
        (folder / "pictures").mkdir(exist_ok=True)
        picture.save(folder / "pictures" / f"{self.stage.name}-{step:07d}.png")


@contextmanager
def passed_over_by_garbage_collection() -> Iterator[None]:
    """Let the collector leave alone, for a block, the half a million objects that are there before
    it: looking at them again and again takes a fortieth of a training step."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Let a block draw random numbers, or seed them, as if it had not."""
    ours, numpys = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)


def _arguments(stage: Stage, folder: Path, seed: int) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=stage.steps,
        per_device_train_batch_size=1,  # an element of the data is a whole step
        max_grad_norm=stage.optimizer.clip or 0.0,
        seed=seed % 2**32,  # numpy's global generator takes no more; nothing of ours reads it
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=[],
        use_cpu=is_one_of_many() and not torch.cuda.is_available(),  # several are not found there
        ddp_find_unused_parameters=True,  # a step may have nothing to draw
        ddp_timeout=2 * 3600,  # the others wait while the first one judges
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # one process, one device: no hidden DataParallel
    return arguments
