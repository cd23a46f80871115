"""Fetches a published checkpoint from a Hugging Face hub: at one commit, resumable, verified.

A file that was cut off goes on where it stopped, also in another process, which the hub's own
client does not do; what is whole in that client's cache is used from there.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deixis.errors import DataError, WeightsError
from deixis.structures.files import write_whole

PIN = "pin.json"
PART = ".part"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
PLAIN = (".json", ".model", ".txt")  # small files that say what the weights mean
WEIGHTS = (".safetensors", ".bin")  # the first kind that is there is fetched
NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "tf_model", "flax_model")
BLOCK = 1 << 22
RETRIES = 3  # broken connections in a row that brought nothing
PATIENCE = 30.0  # seconds without a byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """One commit of a repository and the files of it that are needed."""

    repository: str
    revision: str
    commit: str
    names: tuple[str, ...]


def is_repository(given: str) -> bool:
    """Say whether this may be ``owner/name`` or ``owner/name@revision`` on a hub."""
    return REPOSITORY.fullmatch(given) is not None


def fetch(
    given: str,
    into: Path,
    parts: Sequence[str],
    foresee: Callable[[Path], None] = lambda folder: None,
) -> tuple[Path, str]:
    """Fetch what a conversion reads; return the folder and the commit.

    Args:
        given: ``owner/name``, with ``@revision`` for another one than the newest of ``main``.
        into: folder for the files; what lies there from an interrupted call is used.
        parts: sub-folders in which the checkpoint may lie, "" for the top; the first that holds
            a ``config.json`` is taken.
        foresee: called with the folder when all small files are there, before any weights; what
            it raises spares the rest.

    Raises:
        WeightsError: the hub cannot be reached or has no such checkpoint; the message says what
            to fetch by other means, and where to put it.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    repository, _, revision = given.partition("@")
    revision = revision or "main"
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        pinned = _read_pin(into, repository, revision) or _pin(repository, revision, into, parts)
        part = os.path.dirname(next(n for n in pinned.names if n.endswith("config.json")))
        for name in pinned.names:
            if name.endswith(WEIGHTS):
                foresee(into)
            _download(pinned, name, into / os.path.relpath(name, part or "."))
    except (HTTPError, ConnectionError, TimeoutError) as error:
        code = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
        if 400 <= code < 500:
            raise WeightsError(
                f'"{given}": expected a repository that this hub lends, got {code}. '
                f"Check the name and its revision, or log in with: hf auth login."
            ) from error
        cached = _cached(repository, revision, parts)
        if cached is not None:
            return cached
        raise WeightsError(_offline(given, repository, into, parts)) from error
    return into, pinned.commit


def choose(names: Iterable[str], parts: Sequence[str]) -> tuple[str, ...]:
    """Return the files of a checkpoint that a conversion reads, in their first sub-folder.

    Small files come first; those of tokenizers may lie one folder deeper.
    """
    every = sorted(names)
    for part in parts:
        inside = [name for name in every if os.path.dirname(name) == part]
        if not any(os.path.basename(name) == "config.json" for name in inside):
            continue
        words = re.compile(re.escape(f"{part}/" if part else "") + r"[\w.-]*tokenizer[\w.-]*/[^/]+")
        plain = [n for n in every if (n in inside or words.fullmatch(n)) and n.endswith(PLAIN)]
        for kind in WEIGHTS:
            weights = [name for name in inside if name.endswith(kind) and _is_weights(name)]
            if weights:
                return (*plain, *weights)
        return tuple(plain)
    return ()


def _is_weights(name: str) -> bool:
    return not os.path.basename(name).startswith(NOT_WEIGHTS)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _pin(repository: str, revision: str, into: Path, parts: Sequence[str]) -> Pinned:
    """Ask the hub which commit a revision is now, and write it down."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=_endpoint())
    info = api.model_info(repository, revision=revision)
    commit = str(info.sha)
    names = [one.rfilename for one in info.siblings or ()]
    if not names:
        tree: Any = api.list_repo_tree(repository, recursive=True, revision=commit)
        names = [one.path for one in tree if hasattr(one, "size")]
    chosen = choose(names, parts)
    if not chosen:
        raise WeightsError(
            f'"{repository}": expected a checkpoint with config.json, got {len(names)} other '
            f"files. Give the repository of the weights; see: deixis models."
        )
    pinned = Pinned(repository=repository, revision=revision, commit=commit, names=chosen)
    into.mkdir(parents=True, exist_ok=True)
    document = {name: getattr(pinned, name) for name in Pinned.__dataclass_fields__}
    write_whole(into / PIN, json.dumps(document, indent=2))
    return pinned


def _read_pin(into: Path, repository: str, revision: str) -> Pinned | None:
    """Return the commit that an interrupted call has begun to fetch."""
    try:
        document = json.loads((into / PIN).read_text(encoding="utf-8"))
        pinned = Pinned(**{**document, "names": tuple(document["names"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return pinned if (pinned.repository, pinned.revision) == (repository, revision) else None


def _download(pinned: Pinned, name: str, place: Path) -> None:
    """Fetch one file, from where it was cut off, and check it against the hub's hash."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    if place.is_file():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    cached = try_to_load_from_cache(pinned.repository, name, revision=pinned.commit)
    if isinstance(cached, str):  # the hub's client has fetched it before
        place.symlink_to(Path(cached).resolve())
        return
    part = place.with_name(place.name + PART)
    url = hf_hub_url(pinned.repository, name, revision=pinned.commit, endpoint=_endpoint())
    known = get_hf_file_metadata(url, endpoint=_endpoint())
    if part.is_file() and known.size is not None and part.stat().st_size > known.size:
        part.unlink()
    begun = part.stat().st_size if part.is_file() else 0
    _check_room(place.parent, (known.size or 0) - begun, name)
    _stream(url, part, known.size)
    _verify(part, known.etag, name)
    part.replace(place)


def _stream(url: str, part: Path, size: int | None) -> None:
    """Append to a file what it lacks; every byte that arrives is kept, whatever happens then.

    The hub's client would throw away what a broken connection brought of its last 10 MB.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    fruitless = 0
    part.touch()
    while True:
        begun = part.stat().st_size
        if begun == size:
            return
        try:
            _append(url, part, begun)
        except HfHubHTTPError:
            raise
        except HTTPError:  # the connection broke: go on, unless nothing comes any more
            fruitless = 0 if part.stat().st_size > begun else fruitless + 1
            if fruitless == RETRIES:
                raise
            time.sleep(fruitless)
        else:
            if size is None:
                return


def _append(url: str, part: Path, begun: int) -> None:
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
    how: dict[str, Any] = {"headers": headers, "timeout": PATIENCE, "follow_redirects": True}
    with get_session().stream("GET", url, **how) as response:
        hf_raise_for_status(response)
        whole = begun and response.status_code == 200  # the range was not understood
        with part.open("wb" if whole else "ab") as file:
            for block in response.iter_bytes():
                file.write(block)


def _check_room(folder: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder}: expected {needed / 1e9:.1f} GB of room for {name}, got {free / 1e9:.1f}. "
            f"Make room and run it again; what was fetched is kept."
        )


def _verify(part: Path, etag: str | None, name: str) -> None:
    """Compare a large file with the SHA-256 that a hub states of it."""
    if etag is None or not re.fullmatch(r"[0-9a-f]{64}", etag):
        return
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != etag:
        part.unlink()
        raise WeightsError(
            f"{name}: expected the hash {etag[:12]} that the hub states, got "
            f"{digest.hexdigest()[:12]}. It was thrown away; run it again."
        )


def _cached(repository: str, revision: str, parts: Sequence[str]) -> tuple[Path, str] | None:
    """Return a whole copy in the cache of the hub's client, and its commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(repository, revision=revision, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    for part in parts:
        if (Path(found) / part / "config.json").is_file():
            return Path(found) / part, Path(found).name
    return None


def _offline(given: str, repository: str, into: Path, parts: Sequence[str]) -> str:
    """Say what to fetch where there is a network, and where to put it."""
    inside = [f'--include "{part}/*" ' for part in parts if part]
    name = repository.split("/")[1]
    return (
        f'"{given}": expected a hub that answers, got none. Where there is a network, run: '
        f"hf download {repository} {''.join(inside)}--local-dir {name}; copy the folder {name} "
        f"here and give it in place of {given}. What was fetched so far is kept for the next time."
    )
