"""Anamnos: a memory operating system for AI.

>>> from anamnos import Memory, Scope
>>> with Memory("my-vault") as memory:  # doctest: +SKIP
...     memory.add("I moved to Lisbon in May.", Scope(user="ann"))
...     memory.search("Where does Ann live?", Scope(user="ann"))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from anamnos.cube import BlobRef, CubeId, MemCube, Role, Scope, State, Substrate
from anamnos.errors import AnamnosError

if TYPE_CHECKING:
    from anamnos.memory import AsyncMemory, Memory
    from anamnos.types import And, Hit, Hits, Not, Or, PackedContext, Receipt, Where, where

__version__ = "0.1.0"

__all__ = [
    "AnamnosError",
    "And",
    "AsyncMemory",
    "BlobRef",
    "CubeId",
    "Hit",
    "Hits",
    "MemCube",
    "Memory",
    "Not",
    "Or",
    "PackedContext",
    "Receipt",
    "Role",
    "Scope",
    "State",
    "Substrate",
    "Where",
    "__version__",
    "where",
]


def __getattr__(name: str) -> Any:
    """Load what needs NumPy at its first use, so that the command line answers at once."""
    if name not in __all__:
        raise AttributeError(f"module 'anamnos' has no attribute {name!r}")
    value = getattr(import_module("anamnos.memory" if name.endswith("Memory") else "anamnos.types"), name)
    globals()[name] = value
    return value
