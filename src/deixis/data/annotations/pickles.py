"""Reads pickles as data: numbers, text, lists and mappings; anything that names code is refused.

RefCOCO's annotations are pickles that Python 2 wrote; the tokens in them are not always UTF-8.
"""

import io
import pickle
from pathlib import Path
from typing import Any

from deixis.errors import DataError

LARGEST = 2**30  # bytes
# what the unpickler raises when the bytes are not what they should be
BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    LookupError,
    AttributeError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    RecursionError,
)


class PlainUnpickler(pickle.Unpickler):
    """An unpickler that makes nothing but plain data."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse whatever is not plain data.

        Raises:
            DataError: always.
        """
        raise DataError(f"expected plain data, got a pickle that asks for {module}.{name}.")


def read_pickle(path: Path) -> Any:
    """Return the plain data of a pickle.

    Raises:
        DataError: there is none, it is broken, or it asks for code.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a pickle, got none. Check the path.")
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path}: expected at most {LARGEST} bytes, got {path.stat().st_size}.")
    try:
        return PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except DataError as error:
        raise DataError(f"{path}: {error} Do not trust this file.") from error
    except BROKEN as error:
        raise DataError(
            f"{path}: expected a whole pickle, got a broken one ({error}). Fetch it again."
        ) from error
