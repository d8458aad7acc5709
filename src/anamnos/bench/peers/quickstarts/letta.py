"""Letta as its package on PyPI has it, the command ``letta``: told the fact, then asked in a new conversation.

The model is asked to remember: it writes the fact into the agent's memory with a tool. The answer counts only if
the second conversation is given the fact by that memory; its model says nothing that it was not told.
Source: the README in the package letta.
"""

import subprocess
import sys


def letta(*words: str) -> str:
    """Return what the command says. It runs on this machine, without an account."""
    done = subprocess.run(["letta", *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603, S607
    if done.returncode:
        sys.exit(f"letta {words[0]}: {done.stderr or done.stdout}")
    return done.stdout


fact, question, answer = sys.argv[1:]
letta("--version")
print("step imported", flush=True)
letta("--backend", "local", "-p", f"Remember: {fact}")
print("step remembered", flush=True)
found = letta("--backend", "local", "--new", "-p", question)
if answer not in found:
    sys.exit(f"What came back is not the fact: {found}")
print("step recalled", flush=True)
