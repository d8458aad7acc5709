"""SuperLocalMemory: the commands of its README under "First use", in the mode that needs no language model.

Source: https://github.com/qualixar/superlocalmemory
"""

import subprocess
import sys


def slm(*words: str) -> str:
    """Return what the command says."""
    done = subprocess.run(["slm", *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603, S607
    if done.returncode:
        sys.exit(f"slm {words[0]}: {done.stderr or done.stdout}")
    return done.stdout


fact, question, answer = sys.argv[1:]
slm("--version")
print("step imported", flush=True)
try:
    slm("remember", fact, "--json")
    print("step remembered", flush=True)
    found = slm("recall", question)
    if answer not in found:
        sys.exit(f"What came back is not the fact: {found}")
    print("step recalled", flush=True)
finally:
    slm("serve", "stop")  # it leaves a process of its own behind
