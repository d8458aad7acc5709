"""The face of Anamnos: ``Memory`` and its verbs, and ``AsyncMemory``, the same verbs to be awaited.

>>> with Memory("my-vault", embedder="hashing") as memory:  # doctest: +SKIP
...     memory.add("The spare key is under the blue pot.", Scope(user="ann"))
...     memory.search("where is the key?", Scope(user="ann"))[0].content
'The spare key is under the blue pot.'
"""

from anamnos.memory.awaited import AsyncMemory
from anamnos.memory.opened import Memory

__all__ = ["AsyncMemory", "Memory"]
