"""Recall: ``search`` and ``ask``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.text import Text

from anamnos.cli.context import Target, as_of_option, command, joined, moment, print_json
from anamnos.cli.filters import filter_options
from anamnos.cli.render import console, evidence, hit_table, safe
from anamnos.types import Filter

if TYPE_CHECKING:
    from anamnos.recall.answer import Answer


@command("search")
@click.argument("query", nargs=-1, metavar="QUERY...|-")
@click.option("-k", "--top-k", type=int, default=10, show_default=True, help="How many to show.")
@click.option("--why", is_flag=True, help="Show what each channel saw and how much it counted.")
@as_of_option("Search")
@click.option("--asked-at", metavar="TIME", help="When it is asked; else when the newest memory was said.")
@filter_options
def search(
    target: Target,
    query: tuple[str, ...],
    top_k: int,
    why: bool,
    as_of: str | None,
    asked_at: str | None,
    filter: Filter | None,
) -> None:
    """Find the memories that fit a query best, and say why.

    \b
    Example:
      anamnos search "where is the key?" --user ann -k 3
    """
    scope, text, then = target.scope(), joined(query, "query"), moment("--as-of", as_of)
    now = moment("--asked-at", asked_at)
    with target.open() as memory:
        hits = memory.search(text, scope, top_k=top_k, filter=filter, as_of=then, asked_at=now)
    if target.as_json:
        print_json({"query": text, "confidence": round(hits.confidence, 4), "hits": [hit.to_dict() for hit in hits]})
    elif hits:
        console().print(hit_table(hits, why=why))
    else:
        console().print(Text("Nothing is remembered here that could be shown."))


@command("ask")
@click.argument("question", nargs=-1, metavar="QUESTION...|-")
@click.option("--budget", type=int, default=2_000, show_default=True, help="Tokens that the context may have.")
@click.option(
    "--tokenizer",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Count tokens with a model's tokenizer.json; else they are estimated.",
)
@click.option("-k", "--top-k", type=int, default=25, show_default=True, help="How many memories to consider.")
@as_of_option("Answer from")
@click.option("--asked-at", metavar="TIME", help="When it is asked; else when the newest memory was said.")
@filter_options
def ask(
    target: Target,
    question: tuple[str, ...],
    budget: int,
    tokenizer: Path | None,
    top_k: int,
    as_of: str | None,
    asked_at: str | None,
    filter: Filter | None,
) -> None:
    """Answer a question from memory, and show the evidence.

    Shows the answer and what it rests on, then the sentence that fits best, then memories in order of time as a model
    would read them, then what their numbers stand for. A language model is asked only if the settings name one.

    \b
    Example:
      anamnos ask "Where does Ann keep her spare key?" --user ann
    """
    from anamnos.llm.base import estimate_tokens
    from anamnos.recall.pack import tokenizer_counter

    scope, text, then = target.scope(), joined(question, "question"), moment("--as-of", as_of)
    now, count = moment("--asked-at", asked_at), tokenizer_counter(tokenizer) if tokenizer else estimate_tokens
    with target.open() as memory:
        found = memory.ask(
            text,
            scope,
            asked_at=now,
            token_budget=budget,
            top_k=top_k,
            filter=filter,
            as_of=then,
            count_tokens=count,
        )
    if target.as_json:
        print_json({"question": text, **found.to_dict()})
    elif found.context.citations:
        console().print(_answered(found))
    else:
        none = "Nothing fits into so small a budget." if found.context.hits else "Nothing is remembered here."
        console().print(Text(none))


def _answered(found: Answer) -> Group:
    """Return the answer, how sure it is and what it rests on, and the evidence."""
    numbers = "".join(f" [{number}]" for number in found.citations)
    basis = f"{found.kind}, confidence {found.confidence:.2f}" + (f", from{numbers}" if numbers else "")
    return Group(
        Text(safe(found.text), style="bold green" if not found.not_in_memory else "bold yellow"),
        Text(basis, style="dim"),
        Text(),
        evidence(found.context),
    )
