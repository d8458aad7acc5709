"""No socket is opened unless the user named an endpoint."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import socket, sys
from pathlib import Path

def refuse(*args, **kwargs):
    raise AssertionError("a socket was opened")

class Refused(socket.socket):
    __init__ = refuse

socket.socket = Refused
for name in ("create_connection", "create_server", "socketpair", "getaddrinfo", "gethostbyname"):
    setattr(socket, name, refuse)
sys.addaudithook(lambda event, args: refuse() if event.startswith("socket.") else None)

from anamnos import Memory, Scope
from anamnos.embed.hashing import HashingEmbedder

folder, ann = Path(sys.argv[1]), Scope(user="ann")
(folder / "notes.md").write_text("# Trip\\n\\nWe flew to Lisbon.\\n\\nThe hotel was by the river.")
with Memory(folder / "vault", embedder="hashing") as memory:
    one, = memory.add("The spare key is under the blue pot.", ann).ids
    memory.add([{"role": "user", "content": "hello there"}, {"role": "assistant", "content": "hi"}], ann)
    memory.ingest(folder / "notes.md", ann)
    assert memory.search("where is the key", ann)[0].id == one
    memory.answer_context("where is the hotel", ann)
    memory.update(one, ann, content="The spare key is in the shed.")
    memory.history(one, ann), memory.get(one, ann), memory.list(ann), memory.stats(ann)
    memory.export(folder / "export.jsonl")
    memory.rebuild_index()
    memory.reembed(HashingEmbedder(64))
    memory.backup(folder / "backup")
    assert memory.verify() == []
    memory.delete(one, ann)
with Memory(folder / "other") as memory:  # the embedder that is there
    assert memory.import_(folder / "export.jsonl").count("added") == 6
    memory.search("where is the key", ann)
    memory.delete_all(ann)
print("done")
"""


def test_no_verb_opens_a_socket(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "done\n"
