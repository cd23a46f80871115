"""Optional dependencies: one line where one is needed, one clear error where it is missing."""

import logging
import os
from importlib.util import find_spec
from typing import Any

from deixis.errors import MissingExtra

RAY_STORE = 2**28  # bytes that Ray may keep objects in, where it is started here


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


def start_ray(cores: int) -> tuple[Any, bool]:
    """Return Ray, and whether it was started or joined here; else this process has it already.

    Where ``RAY_ADDRESS`` names a cluster, it is joined; else so many cores of this one are lent.

    Raises:
        MissingExtra: Ray is not installed.
    """
    require("ray", extra="scale")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        return ray, False
    here: dict[str, Any] = {
        "num_cpus": cores,
        "object_store_memory": RAY_STORE,
        "include_dashboard": False,
    }
    ray.init(
        log_to_driver=False,
        logging_level=logging.ERROR,
        **({} if "RAY_ADDRESS" in os.environ else here),
    )
    return ray, True
