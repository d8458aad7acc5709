"""Recall: ``search`` and ``ask``."""

from __future__ import annotations

import click
from rich.text import Text

from anamnos.cli.context import Target, command, joined, print_json
from anamnos.cli.filters import filter_options
from anamnos.cli.render import console, evidence, hit_table
from anamnos.types import Filter


@command("search")
@click.argument("query", nargs=-1, metavar="QUERY...|-")
@click.option("-k", "--top-k", type=int, default=10, show_default=True, help="How many to show.")
@click.option("--why", is_flag=True, help="Show what each channel saw and how much it counted.")
@filter_options
def search(target: Target, query: tuple[str, ...], top_k: int, why: bool, filter: Filter | None) -> None:
    """Find the memories that fit a query best, and say why.

    \b
    Example:
      anamnos search "where is the key?" --user ann -k 3
    """
    scope, text = target.scope(), joined(query, "query")
    with target.open() as memory:
        hits = memory.search(text, scope, top_k=top_k, filter=filter)
    if target.as_json:
        print_json({"query": text, "hits": [hit.to_dict() for hit in hits]})
    elif hits:
        console().print(hit_table(hits, why=why))
    else:
        console().print(Text("Nothing is remembered here that could be shown."))


@command("ask")
@click.argument("question", nargs=-1, metavar="QUESTION...|-")
@click.option("--budget", type=int, default=2_000, show_default=True, help="Tokens that the context may have.")
@click.option("-k", "--top-k", type=int, default=25, show_default=True, help="How many memories to consider.")
@filter_options
def ask(target: Target, question: tuple[str, ...], budget: int, top_k: int, filter: Filter | None) -> None:
    """Gather the evidence for a question, ready for a prompt.

    Shows the sentence that answers best, then memories in order of time as a model would read them, then what their
    numbers stand for. No language model is asked.

    \b
    Example:
      anamnos ask "Where does Ann keep her spare key?" --user ann
    """
    scope, text = target.scope(), joined(question, "question")
    with target.open() as memory:
        found = memory.answer_context(text, scope, token_budget=budget, top_k=top_k, filter=filter)
    if target.as_json:
        print_json({"question": text, **found.to_dict()})
    elif found.citations:
        console().print(evidence(found))
    else:
        none = "Nothing fits into so small a budget." if found.hits else "Nothing is remembered here."
        console().print(Text(none))
