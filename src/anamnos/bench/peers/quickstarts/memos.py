"""MemOS as a library: ``MOS.simple()`` of its documentation, one message added and asked for.

Source: https://memos-docs.openmem.net/modules/mos/memos_neo
"""

import sys

from memos.mem_os.main import MOS  # type: ignore[import-not-found]

print("step imported", flush=True)
fact, question, answer = sys.argv[1:]
memory = MOS.simple()
memory.add(messages=[{"role": "user", "content": fact}])
print("step remembered", flush=True)
found = memory.search(question)["text_mem"]
if not any(answer in item.memory for cube in found for item in cube["memories"]):
    sys.exit(f"What came back is not the fact: {found}")
print("step recalled", flush=True)
