"""Keep: ``stats``, ``verify``, ``rebuild-index`` and ``reembed``."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from anamnos.cli.bulk import with_engine
from anamnos.cli.context import Target, command, print_json
from anamnos.cli.progress import progress_bar
from anamnos.cli.render import console, pairs, safe, size
from anamnos.errors import StoreError
from anamnos.system.bulk import Engine


@command("stats")
@click.option("--all", "everything", is_flag=True, help="The whole vault, whatever scope the environment names.")
def stats(target: Target, everything: bool) -> None:
    """Show how much is remembered and what it takes.

    Of the whole vault, or of one scope if one is named.

    \b
    Example:
      anamnos stats --user ann
    """
    scope = None if everything else target.scope_or_none()
    with target.open() as memory:
        found = memory.stats(scope)
    if target.as_json:
        print_json(found)
    else:
        console().print(pairs([("scope", str(scope or "everybody")), *_rows(found)]))


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("memories", f"{found['memories']:,}"), ("scopes", f"{found['scopes']:,}")]
    for name in ("roles", "states"):
        if name in found:
            rows.append((name, ", ".join(f"{kind} {count:,}" for kind, count in found[name].items())))
    rows += [
        ("embedder", f"{found['embedder']['id']} ({found['embedder']['dim']} numbers)"),
        ("recipe", found["recipe"]),
        ("changes", f"{found['sequence']:,}"),
        ("vault", found["vault"]),
    ]
    parts = found["bytes"]
    return [*rows, ("on disk", size(sum(parts.values())) + _detail(parts))]


def _detail(parts: dict[str, int]) -> str:
    return " (" + ", ".join(f"{name} {size(count)}" for name, count in parts.items() if count) + ")"


@command("verify", scope=False)
def verify(target: Target) -> None:
    """Check every part of the vault.

    Reads all of it: rows, keywords, vectors, blobs. Ends with exit status 7 if something is wrong.

    \b
    Example:
      anamnos verify && anamnos backup /mnt/disk/vault-monday
    """
    with target.open() as memory:
        problems = memory.verify()
    if target.as_json:
        print_json({"ok": not problems, "problems": problems})
    else:
        for problem in problems:
            console().print(Text("fail", style="red"), Text(safe(problem)))
        if not problems:
            console().print(Text("All parts of the vault agree.", style="green"))
    if problems:
        raise click.exceptions.Exit(StoreError.exit_code)


@command("rebuild-index", scope=False)
def rebuild_index(target: Target) -> None:
    """Make all indexes again from the texts.

    \b
    Example:
      anamnos rebuild-index
    """
    with target.open() as memory:
        memory.rebuild_index()
        memories = memory.stats()["memories"]
    if target.as_json:
        print_json({"memories": memories})
    else:
        console().print(Text(f"made the indexes of {memories:,} memories again"))


@command("reembed", scope=False, embedder=False)
@click.option(
    "--embedder", "new", required=True, metavar="NAME", help="The new one: minilm, hashing, openai:MODEL@URL …"
)
@with_engine
def reembed(target: Target, new: str, engine: Engine) -> None:
    """Change the embedder of the vault.

    Embeds every text anew and then switches at once. A stop in the middle loses nothing: run it again to go on.

    \b
    Example:
      anamnos reembed --embedder minilm
    """
    with target.open(embedder="auto") as memory:
        with engine, progress_bar("reembed") as progress:
            memory.reembed(new, engine=engine, progress=progress)
        found = memory.stats()
    if target.as_json:
        print_json({"memories": found["memories"], "embedder": found["embedder"]})
    else:
        console().print(Text(f"{found['memories']:,} memories are now embedded by {found['embedder']['id']}"))
