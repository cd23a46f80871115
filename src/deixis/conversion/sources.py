"""From what a person gives as SOURCE to the folder of a published checkpoint."""

from collections.abc import Callable, Sequence
from pathlib import Path

from deixis.conversion.hub import fetch, is_repository
from deixis.conversion.recipe import Source
from deixis.errors import WeightsError


def open_source(
    given: str,
    into: Path,
    parts: Sequence[str],
    foresee: Callable[[Path], None] = lambda folder: None,
) -> Source:
    """Return the checkpoint in a folder, or fetch it from a hub.

    Args:
        given: a folder, or ``owner/name`` with or without ``@revision``.
        into: folder for what is fetched.
        parts: sub-folders in which a published checkpoint may lie, "" for the top.
        foresee: see ``fetch``.

    Raises:
        WeightsError: neither a folder with a checkpoint nor a repository that can be fetched.
    """
    folder = Path(given).expanduser()
    if folder.is_dir():
        for part in parts:
            if (folder / part / "config.json").is_file():
                return Source(name=folder.resolve().name, folder=folder / part)
        places = " or ".join(f"{part}/config.json" if part else "config.json" for part in parts)
        raise WeightsError(
            f'"{given}": expected a checkpoint with {places}, got none. Give the folder of one.'
        )
    if not is_repository(given) or folder.exists():
        raise WeightsError(
            f'"{given}": expected a folder, or a repository such as owner/name, got neither. '
            f"See: deixis models."
        )
    found, commit = fetch(given, into, parts, foresee)
    return Source(name=given.partition("@")[0], folder=found, commit=commit)
