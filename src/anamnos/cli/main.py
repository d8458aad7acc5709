"""The entry point ``anamnos``, and the map of its commands. Nothing heavy is imported here."""

from __future__ import annotations

import sys

import click

from anamnos import __version__
from anamnos.cli.lazy import Lazy, LazyGroup

SECTIONS = {
    "Remember": {
        "add": Lazy("anamnos.cli.remember:add", "Remember a text."),
        "ingest": Lazy("anamnos.cli.remember:ingest", "Remember files: chats, notes, documents, whole folders."),
        "enrich": Lazy("anamnos.cli.enrich:enrich", "Find the facts and preferences that memories hold."),
    },
    "Recall": {
        "search": Lazy("anamnos.cli.recall:search", "Find the memories that fit a query best, and say why."),
        "explain": Lazy("anamnos.cli.explain:explain", "Show how a search comes to its result."),
        "ask": Lazy("anamnos.cli.recall:ask", "Answer a question from memory, and show the evidence."),
        "chat": Lazy("anamnos.cli.chat:chat", "Talk with a model that remembers."),
        "list": Lazy("anamnos.cli.browse:list_", "List memories in the order in which they were written."),
        "get": Lazy("anamnos.cli.browse:get", "Show one memory with all that is known about it."),
        "history": Lazy("anamnos.cli.browse:history", "Show all versions of a memory."),
    },
    "Change": {
        "update": Lazy("anamnos.cli.change:update", "Write the next version of a memory."),
        "tags": Lazy("anamnos.cli.tags:tags", "Suggest tags, learnt from those that memories have."),
        "route": Lazy("anamnos.cli.route:route", "Say which of several places a text belongs to."),
        "resolve": Lazy("anamnos.cli.resolve:resolve", "Put new facts in order with known ones."),
        "correct": Lazy("anamnos.cli.resolve:correct", "Correct what is remembered, in words."),
        "merge": Lazy("anamnos.cli.resolve:merge", "Make one memory of several."),
        "unmerge": Lazy("anamnos.cli.resolve:unmerge", "Part a memory from those that it was merged with."),
        "delete": Lazy("anamnos.cli.change:delete", "Erase memories from every file of the vault."),
        "lifecycle": Lazy("anamnos.cli.lifecycle:lifecycle", "Freeze, archive, bring back, roll back."),
        "expire": Lazy("anamnos.cli.govern:expire", "Do what times to live and rules ask for."),
        "forget-person": Lazy("anamnos.cli.govern:forget_person", "Erase a user from all files, and report it."),
    },
    "Keep": {
        "export": Lazy("anamnos.cli.exchange:export", "Write memories with all their versions to a file."),
        "import": Lazy("anamnos.cli.exchange:import_", "Read a file that export wrote."),
        "bundle": Lazy("anamnos.cli.bundle:bundle", "Make, sign, share and install bundles of memories."),
        "states": Lazy("anamnos.cli.states:states", "Associative memories that are kept in the vault."),
        "mount": Lazy("anamnos.cli.mounts:mount", "Let the memories of other vaults join searches."),
        "quota": Lazy("anamnos.cli.mounts:quota", "Show or set how much a user may hold."),
        "backup": Lazy("anamnos.cli.exchange:backup", "Copy the vault to a folder."),
        "restore": Lazy("anamnos.cli.exchange:restore", "Make a vault of a backup, after checking every byte."),
        "migrate-store": Lazy("anamnos.cli.migrate_store:migrate_store", "Move the memories to another engine."),
        "encrypt": Lazy("anamnos.cli.encrypt:encrypt", "Encrypt the vault, in place."),
        "decrypt": Lazy("anamnos.cli.encrypt:decrypt", "Make an encrypted vault plain, in place."),
        "rotate-key": Lazy("anamnos.cli.encrypt:rotate_key", "Open the vault with another key from now on."),
        "consolidate": Lazy("anamnos.cli.consolidate:consolidate", "Tidy up: repetitions, topics, what fades."),
        "jobs": Lazy("anamnos.cli.jobs:jobs", "See and steer background work."),
        "worker": Lazy("anamnos.cli.jobs:worker", "Do background jobs until you stop it."),
        "top": Lazy("anamnos.cli.top:top", "Watch jobs, working memory, hot memories and sizes."),
        "verify": Lazy("anamnos.cli.keep:verify", "Check every part of the vault."),
        "rebuild-index": Lazy("anamnos.cli.keep:rebuild_index", "Make all indexes again from the texts."),
        "reembed": Lazy("anamnos.cli.keep:reembed", "Change the embedder of the vault."),
        "stats": Lazy("anamnos.cli.keep:stats", "Show how much is remembered and what it takes."),
        "calibrate": Lazy("anamnos.cli.calibrate:calibrate", "Fit the weights of channels to questions with answers."),
        "doctor": Lazy("anamnos.cli.doctor:doctor", "Check the installation and the vault, line by line."),
    },
    "Serve": {
        "serve": Lazy("anamnos.cli.serve:serve", "Serve the memory: REST, a web page, MCP."),
        "mcp": Lazy("anamnos.cli.mcp:mcp", "Offer the memory to an assistant."),
    },
    "Govern": {
        "policy": Lazy("anamnos.cli.govern:policy", "Principals, shares and rules of retention."),
        "keys": Lazy("anamnos.cli.keys:keys", "Keys of applications that use a server of this vault."),
        "audit": Lazy("anamnos.cli.audit:audit", "Show and check the record of who did what."),
    },
    "Set up": {
        "setup": Lazy("anamnos.cli.setup:setup", "Install the language model of the best embedder."),
        "config": Lazy("anamnos.cli.config:config", "Show the settings and where they come from."),
        "completion": Lazy("anamnos.cli.setup:completion", "Print the script that completes commands in your shell."),
        "bench": Lazy("anamnos.cli.bench:bench", "Measure recall, speed and size."),
    },
}

EPILOG = """\b
Example:
  anamnos add "The spare key is under the blue pot." --user ann
  anamnos ingest chat.json --user ann
  anamnos search "where is the key?" --user ann
"""


@click.group(
    "anamnos", cls=LazyGroup, sections=SECTIONS, epilog=EPILOG, invoke_without_command=True, no_args_is_help=False
)
@click.version_option(__version__, prog_name="anamnos")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Anamnos remembers, recalls and forgets for AI.

    Every memory belongs to somebody: name them with --user (or --agent, --session), or once and for all with
    ANAMNOS_USER. The memories live in a folder, the vault: --vault or ANAMNOS_VAULT.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), color=ctx.color)


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a letter that the terminal lacks is no reason to fail
            stream.reconfigure(errors="replace")
    cli.main(prog_name="anamnos")


if __name__ == "__main__":
    main()
