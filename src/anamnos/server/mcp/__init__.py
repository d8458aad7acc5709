"""The MCP face: a memory as tools, resources and prompts of assistants. Needs the extra ``mcp``.

server.py     ``make_server``: the server, whose memory it works on, and how its errors look
tools.py      the tools of the house; resources.py its resources and prompts
reference.py  the tools of the reference MCP memory server, over graph.py, which keeps its graph as memories
quoting.py    how remembered words are handed to a model: as data
http.py       the same over streamable HTTP, for callers with keys. Needs the extra ``server`` too
"""

from anamnos.server.mcp.server import Place, make_server

__all__ = ["Place", "make_server"]
