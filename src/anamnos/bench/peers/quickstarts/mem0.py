"""Mem0 as a library, with all the defaults of its README's ``Memory()`` but one: one message added and asked for.

Its store lies beside this run's other files, not in /tmp/qdrant, where it would meet the facts of earlier runs.

Source: https://github.com/mem0ai/mem0
"""

import sys

from mem0 import Memory

print("step imported", flush=True)
fact, question, answer = sys.argv[1:]
memory = Memory.from_config({"vector_store": {"provider": "qdrant", "config": {"path": "qdrant"}}})
memory.add([{"role": "user", "content": fact}], user_id="ann")
print("step remembered", flush=True)
found = memory.search(query=question, filters={"user_id": "ann"}, top_k=3)["results"]
if not any(answer in hit["memory"] for hit in found):
    sys.exit(f"What came back is not the fact: {found}")
print("step recalled", flush=True)
