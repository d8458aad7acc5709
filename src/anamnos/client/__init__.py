"""A client of the REST face: the verbs of ``Memory`` and their types, over HTTP, awaited or not.

>>> from anamnos.client import Client, Scope  # doctest: +SKIP
>>> with Client("http://127.0.0.1:8787", key="anm_…") as memory:  # doctest: +SKIP
...     memory.add("The spare key is under the blue pot.", Scope(user="ann"))

It needs ``pip install 'anamnos[server]'``, and neither a vault nor an embedder.
"""

from anamnos.client.connection import AsyncClient, Client
from anamnos.cube import MemCube, Scope
from anamnos.types import Hits, Receipt

__all__ = ["AsyncClient", "Client", "Hits", "MemCube", "Receipt", "Scope"]
