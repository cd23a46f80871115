"""A judge of words: any endpoint that speaks as OpenAI's does, its words kept for replay.

VideoRefer-Bench-D is scored by GPT-4o in its paper, and so are the words of answers to MUSE;
another judge's figures are not comparable, and the report says who judged. Every prompt and reply
is a line of a file; what is there already is not asked again, so a run can be repeated without the
endpoint.
"""

import json
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from deixis.errors import ConfigError, DataError
from deixis.metrics.words.judged import ASPECTS

PUBLISHED = "gpt-4o"  # as in VideoRefer's script; others are marked
SECONDS = 120
SYSTEM = (
    "You compare a description of an object in a video with a correct one. Give four whole "
    "numbers from 0 to 5, 5 being best, a line each, in exactly this form:\n"
    + "\n".join(f"{number}. {aspect}: <score>" for number, aspect in enumerate(ASPECTS, start=1))
)


class Judge:
    """Asks a model to score descriptions, and remembers what it said.

    Args:
        kept: the file of prompts and replies, one JSON a line.
        address: of the endpoint, such as "http://localhost:8000/v1"; None: only replay.
        model: the judge's name there.

    Raises:
        ConfigError: an address that is no http(s) one.
        DataError: a line of the file that is no judgement.
    """

    def __init__(self, kept: Path, address: str | None = None, model: str = PUBLISHED) -> None:
        if address is not None and urlsplit(address).scheme not in ("http", "https"):
            raise ConfigError(
                f"judge: expected an address that starts with http:// or https://, got {address!r}."
            )
        self.kept, self.address, self.model = kept, address, model
        self._said = dict(_lines(kept)) if kept.is_file() else {}

    @property
    def note(self) -> str:
        """Who judged, and whether that can be compared with published figures."""
        if self.model == PUBLISHED:
            return f"{self.model}, with our wording of the instructions"
        return f"{self.model}; not comparable: published figures are judged by {PUBLISHED}"

    def ask(self, true: str, said: str) -> str | None:
        """Return the judgement of a description; None where nothing was described.

        Raises:
            DataError: the endpoint does not answer as expected, or there is none to ask.
        """
        if not said.strip():
            return None
        return self.say(
            SYSTEM, f"Correct description:\n{true}\n\nDescription to score:\n{said}"
        )

    def say(self, system: str, prompt: str) -> str:
        """Return the reply to a prompt under some instructions; the same twice is asked once.

        Raises:
            DataError: the endpoint does not answer as expected, or there is none to ask.
        """
        key = blake2b(f"{self.model}\n{system}\n{prompt}".encode(), digest_size=16).hexdigest()
        if key not in self._said:
            reply = self._fetch(system, prompt)
            row = {"key": key, "model": self.model, "system": system, "prompt": prompt}
            self.kept.parent.mkdir(parents=True, exist_ok=True)
            with self.kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**row, "reply": reply}) + "\n")
            self._said[key] = reply
        return self._said[key]

    def _fetch(self, system: str, prompt: str) -> str:
        if self.address is None:
            raise DataError(
                f"{self.kept}: expected a judgement of every description, got one that is not "
                f"there. Give the address of the judge."
            )
        messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
        body = json.dumps({"model": self.model, "temperature": 0, "messages": messages}).encode()
        head = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            head["Authorization"] = f"Bearer {key}"
        address = f"{self.address.rstrip('/')}/chat/completions"
        try:
            with urlopen(Request(address, body, head), timeout=SECONDS) as answer:
                value: Any = json.loads(answer.read())
            return str(value["choices"][0]["message"]["content"])
        except (URLError, TimeoutError, ValueError, LookupError, TypeError) as error:
            raise DataError(
                f"{address}: expected a chat completion, got {type(error).__name__}: {error}. "
                f"Check the address and the model's name."
            ) from error


def _lines(path: Path) -> list[tuple[str, str]]:
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            found.append((str(row["key"]), str(row["reply"])))
        except (ValueError, LookupError, TypeError) as error:
            raise DataError(
                f"{path}:{number}: expected a judgement, got {line[:40]!r}. Delete the line."
            ) from error
    return found
