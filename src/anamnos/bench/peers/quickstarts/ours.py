"""Anamnos: the README's example in Python."""

import sys
from pathlib import Path

from anamnos import Memory, Scope

print("step imported", flush=True)
fact, question, answer = sys.argv[1:]
ann = Scope(user="ann")
with Memory(Path("my-vault")) as memory:
    memory.add(fact, ann)
    print("step remembered", flush=True)
    found = str(memory.search(question, ann, top_k=1)[0].content)
if answer not in found:
    sys.exit(f"What came back is not the fact: {found}")
print("step recalled", flush=True)
