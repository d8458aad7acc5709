"""Versions of memories as entity tags: ``"3"``."""

from __future__ import annotations

from anamnos.cube import MemCube, Scope
from anamnos.memory import AsyncMemory
from anamnos.server.problems import Unmet


def etag(cube: MemCube) -> str:
    """Return the entity tag of a version."""
    return f'"{cube.version}"'


def names(header: str, cube: MemCube, *, weak: bool = False) -> bool:
    """Return whether ``If-Match`` or ``If-None-Match`` names a version. weak: whether ``W/"3"`` does, too."""
    tags = [tag.strip() for tag in header.split(",")]
    return "*" in tags or etag(cube) in (tag.removeprefix("W/") if weak else tag for tag in tags)


async def expected_version(header: str | None, memory: AsyncMemory, id: str, scope: Scope) -> int | None:
    """Return which version ``If-Match`` expects; None: any. Raises: Unmet (412) if it is not the current one."""
    if header is None:
        return None
    current = await memory.get(id, scope)
    if not names(header, current):
        raise changed(current.version)
    return None if header.strip() == "*" else current.version


def changed(version: int | None) -> Unmet:
    """Return the refusal of a request that expected another version."""
    return Unmet(
        412,
        "The memory is not in the version that If-Match names.",
        "Read the current version and try again.",
        retryable=True,
        current_version=version,
    )


def link_next(url: str) -> dict[str, str]:
    """Return the header that leads to the next page."""
    return {"Link": f'<{url}>; rel="next"'}
