"""Optional dependencies: one line where one is needed, one clear error where it is missing."""

from importlib.util import find_spec

from deixis.errors import MissingExtra


def require(module: str, *, extra: str) -> None:
    """Check that an optional module can be imported.

    Raises:
        MissingExtra: it is not installed; the message names the extra that brings it.
    """
    if find_spec(module) is None:
        raise MissingExtra(
            f"{module}: expected the package to be installed, got none. "
            f"Install it with: pip install 'deixis[{extra}]'."
        )
