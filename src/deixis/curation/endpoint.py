"""Authors that ask an OpenAI-compatible endpoint, and one that replays what was answered before.

Every reply is kept on disk before it is used, so that a killed run never pays twice. What comes
back is only a proposal: the checks of ``checks.py`` decide.
"""

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from deixis.curation.drafts import EACH, KINDS, Draft
from deixis.curation.geometry import DIRECTIONS, ENDS
from deixis.curation.sets import PictureSet
from deixis.curation.wording import of_image
from deixis.errors import ConfigError, DataError
from deixis.extras import require

PER_TOKEN = 3.5  # characters, for the estimate before the start
ANSWER_TOKENS = 1500  # of eight questions and answers, likewise
MILLION = 1e6
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["questions"],
    "properties": {
        "questions": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["kind", "question", "answer"],
                "properties": {
                    "kind": {"type": "string", "enum": list(KINDS)},
                    "question": {"type": "string"},
                    "answer": {"type": "string"},
                },
            },
        }
    },
}
TASK = (
    "You write questions about sets of images for people, with answers that cite what the images "
    "show. You get the things of each image: a name with a code, and its box x0 y0 x1 y1. Write "
    f"{EACH} questions of each kind: {', '.join(KINDS)}. A question must need several images and "
    "name no code. An answer cites every thing it speaks of by name and code exactly as given, at "
    "least one of every image. Where it counts, it writes the number, the word and the codes in "
    'parentheses, as "2 mugs (mug_101, mug_102)"; sums as "2 + 1 = 3". A spatial answer says '
    f'"NAME_CODE is DIRECTION the NAME_CODE" with {", ".join(DIRECTIONS)}, or "NAME_CODE stands '
    f'furthest END" with {", ".join(ENDS)}, and only where the boxes prove it.'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to ask, what it costs, and how long to try.

    Attributes:
        url: base address of the API. model: its name there.
        key_variable: environment variable with the key; without one "none" is sent.
        price_in, price_out: money for a million tokens. budget: most that may be spent in all.
        timeout: seconds of one request. attempts: per set. pause: seconds before the second
            attempt, doubled for each further one.
    """

    url: str
    model: str
    budget: float
    price_in: float = 0.0
    price_out: float = 0.0
    key_variable: str = "OPENAI_API_KEY"
    timeout: float = 120.0
    attempts: int = 4
    pause: float = 1.0

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """Return what so many tokens cost."""
        return (tokens_in * self.price_in + tokens_out * self.price_out) / MILLION


def estimate(groups: Iterable[PictureSet], endpoint: Endpoint) -> float:
    """Return what asking about sets will cost, if every one is answered at once."""
    return sum(_likely_cost(describe(group), endpoint) for group in groups)


def describe(group: PictureSet) -> str:
    """Return what an author is told of a set."""
    lines = []
    for image in range(len(group.pictures)):
        height, width = group.pictures[image].size
        lines.append(f"{of_image(image)} ({width} x {height}):")
        for thing in (t for t in group.things if t.image == image):
            box = " ".join(f"{value:.0f}" for value in thing.entity.box)
            part = f" part of {group.by_code[thing.owner].word}" if thing.owner else ""
            lines.append(f"- {thing.word}{part}: {box}")
    return "\n".join(lines)


def read_reply(text: str) -> list[Draft] | None:
    """Return the drafts of a reply; None where it is not what was asked for."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    rows = value.get("questions") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not rows:
        return None
    keys = ("kind", "question", "answer")
    if not all(isinstance(r, dict) and all(isinstance(r.get(k), str) for k in keys) for r in rows):
        return None
    return [Draft(kind=r["kind"], question=r["question"], answer=r["answer"]) for r in rows]


class Replies:
    """What was answered about each set, one line each, on the disk when ``add`` returns.

    Raises:
        DataError: a line in the middle is broken.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, Lock()
        self.rows: dict[int, dict[str, Any]] = {}
        self.cost = 0.0  # of all that were kept, those in vain included
        whole = path.read_bytes() if path.exists() else b""
        kept = whole[: whole.rfind(b"\n") + 1]
        if len(kept) < len(whole):
            os.truncate(path, len(kept))
        for number, line in enumerate(kept.splitlines(), start=1):
            try:
                row = json.loads(line)
                self._take(row)
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{path}:{number}: expected a reply in JSON, got {line[:40]!r}. Delete the "
                    f"line: that set will be asked about again."
                ) from error

    def add(self, row: dict[str, Any]) -> None:
        """Keep the reply about a set."""
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._take(row)

    def _take(self, row: dict[str, Any]) -> None:
        self.cost += float(row.get("cost", 0))
        if row["text"]:  # without, it tells only what was paid in vain
            self.rows[row["set"]] = row


class ReplayAuthor:
    """Says again what was answered in a recorded run, without asking anybody."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(f"{path}: expected the replies of a run, got none. Check the path.")
        self.name, self.replies = f"replay {path.name}", Replies(path)

    def write(self, group: PictureSet) -> list[Draft]:
        """Return the drafts of a set.

        Raises:
            DataError: the run did not ask about this set, or about one that read otherwise.
        """
        row = self.replies.rows.get(group.number)
        if row is None or row["told"] != describe(group):
            got = "none" if row is None else "one about other pictures"
            raise DataError(
                f"{self.replies.path}: expected a reply about set {group.number}, got {got}. "
                f"Replay with the sources, seed and sizes of that run."
            )
        return read_reply(row["text"]) or []


class EndpointAuthor:
    """Asks an endpoint about each set once.

    Raises:
        MissingExtra: the client is not installed.
    """

    def __init__(self, endpoint: Endpoint, replies: Path) -> None:
        require("openai", extra="curate")
        from openai import OpenAI

        self.name = f"endpoint {endpoint.model}"
        self.endpoint, self.replies = endpoint, Replies(replies)
        self._client = OpenAI(
            base_url=endpoint.url,
            api_key=os.environ.get(endpoint.key_variable) or "none",
            timeout=endpoint.timeout,
            max_retries=0,
        )
        self._lock = Lock()
        self._spent = self.replies.cost

    @property
    def spent(self) -> float:
        """What all replies have cost, earlier runs' and sets' still under way included."""
        return self._spent

    def write(self, group: PictureSet) -> list[Draft]:
        """Return the drafts of a set; none where every reply was nonsense.

        Raises:
            ConfigError: the budget is spent, or the endpoint refuses requests as such.
            DataError: no reply in time, whatever was tried.
        """
        told = describe(group)
        row = self.replies.rows.get(group.number)
        if row is None or row["told"] != told:
            row = self._ask(group.number, told)
        return read_reply(row["text"]) or []

    def _ask(self, number: int, told: str) -> dict[str, Any]:
        cost, text, problem = 0.0, "", ""
        for attempt in range(self.endpoint.attempts):
            if attempt:
                time.sleep(self.endpoint.pause * 2 ** (attempt - 1))
            reserved = self._reserve(told)
            paid, problem = 0.0, "no reply"
            try:
                text, paid, problem = self._request(told)
            finally:
                self._settle(reserved, paid)
            cost += paid
            if not problem:
                break
        row = {"set": number, "told": told, "text": text, "cost": cost, "problem": problem}
        if cost or text:
            self.replies.add(row)
        if not text:
            raise DataError(
                f"{self.endpoint.url}: expected a reply about set {number}, got {problem} "
                f"{self.endpoint.attempts} times. Start again later: what was answered is kept."
            )
        return row

    def _request(self, told: str) -> tuple[str, float, str]:
        """Return a reply, what it cost, and what is wrong with it."""
        import openai

        messages: Sequence[Any] = [
            {"role": "system", "content": TASK},
            {"role": "user", "content": told},
        ]
        schema: Any = {"name": "questions", "strict": True, "schema": SCHEMA}
        try:
            reply: Any = self._client.chat.completions.create(
                model=self.endpoint.model,
                messages=list(messages),
                response_format={"type": "json_schema", "json_schema": schema},
            )
        except (openai.APITimeoutError, openai.APIConnectionError) as error:
            return "", 0.0, _named(error)
        except openai.APIStatusError as error:
            if error.status_code < 500 and error.status_code not in (408, 409, 429):
                raise ConfigError(
                    f"{self.endpoint.url}: expected to be served, got status "
                    f"{error.status_code}. Check address, model and ${self.endpoint.key_variable}."
                ) from error
            return "", 0.0, f"status {error.status_code}"
        except (openai.APIError, ValueError) as error:
            return "", 0.0, _named(error)
        return _read_choice(reply, self.endpoint)

    def _reserve(self, told: str) -> float:
        """Set aside what a request is likely to cost.

        Raises:
            ConfigError: that would be more than the budget.
        """
        likely = _likely_cost(told, self.endpoint)
        with self._lock:
            if self._spent + likely > self.endpoint.budget:
                raise ConfigError(
                    f"budget: expected room for {likely:.4f} more, got {self.endpoint.budget:g} of "
                    f"which {self._spent:.4f} is spent. Raise it to go on: nothing is asked twice."
                )
            self._spent += likely
        return likely

    def _settle(self, reserved: float, paid: float) -> None:
        with self._lock:
            self._spent += paid - reserved


def _likely_cost(told: str, endpoint: Endpoint) -> float:
    return endpoint.cost((len(TASK) + len(told)) / PER_TOKEN, ANSWER_TOKENS)


def _read_choice(reply: Any, endpoint: Endpoint) -> tuple[str, float, str]:
    """Return the text of a reply, what it cost, and what is wrong with it."""
    usage = getattr(reply, "usage", None)
    tokens = [getattr(usage, name, None) or 0 for name in ("prompt_tokens", "completion_tokens")]
    cost = endpoint.cost(tokens[0], tokens[1])
    choices = getattr(reply, "choices", None) or []
    content = getattr(getattr(choices[0], "message", None), "content", None) if choices else None
    if not isinstance(content, str) or not content.strip():
        return "", cost, "an empty reply"
    if choices[0].finish_reason == "length":
        return content, cost, "a reply that stops half-way"
    return content, cost, "" if read_reply(content) else "other JSON than asked for"


def _named(error: Exception) -> str:
    return type(error).__name__
