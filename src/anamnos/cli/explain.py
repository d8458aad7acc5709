"""``explain``: how a search comes to its result, channel by channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from anamnos.cli.context import Target, command, joined, print_json
from anamnos.cli.filters import filter_options
from anamnos.cli.render import console, hit_table, pairs, safe, table
from anamnos.types import Filter

if TYPE_CHECKING:
    from anamnos.recall.analyse import Cue
    from anamnos.recall.search import Explanation

_COLUMNS = 9  # channels that fit beside each other


@command("explain")
@click.argument("query", nargs=-1, metavar="QUERY...|-")
@click.option("-k", "--top-k", type=int, default=5, show_default=True, help="How many memories to explain.")
@filter_options
def explain(target: Target, query: tuple[str, ...], top_k: int, filter: Filter | None) -> None:
    """Show how a search comes to its result.

    First what was understood of the query, then what each channel adds to the score of each memory found, then the
    memories with their reasons.

    \b
    Example:
      anamnos explain "When did Ann move to Porto?" --user ann
    """
    scope, text = target.scope(), joined(query, "query")
    with target.open() as memory:
        found = memory.explain(text, scope, top_k=top_k, filter=filter)
    if target.as_json:
        weights = {part.channel.name: part.weight for part in (*found.recipe.channels, *found.recipe.late)}
        print_json(
            {
                "query": text,
                "cue": _understood(found.cue),
                "recipe": {"name": found.recipe.name, "weights": weights},
                "confidence": round(found.hits.confidence, 4),
                "hits": [hit.to_dict() for hit in found.hits],
            }
        )
        return
    said = {
        name: ", ".join(value) if isinstance(value, list) else str(value)
        for name, value in _understood(found.cue).items()
    }
    head = [(name, value) for name, value in said.items() if value and value != "False"]
    head += [("recipe", found.recipe.name), ("confidence", f"{found.hits.confidence:.2f} that the answer is here")]
    shown: list[RenderableType] = [pairs(head), Text()]
    if found.hits:
        shown += [_shares(found), Text(), hit_table(found.hits)]
    else:
        shown.append(Text("Nothing is remembered here that could be shown."))
    console().print(Group(*shown))


def _understood(cue: Cue) -> dict[str, Any]:
    """Return what was understood of a query, ready for JSON."""
    return {
        "intent": str(cue.intent),
        "words": list(cue.words.values()),
        "speakers": list(cue.speakers),
        "entities": list(cue.entities),
        "quoted": list(cue.quoted),
        "embedded as": cue.dense_text,
        "asks when": cue.asks_when,
        "asks for a list": cue.wants_list,
        "asks what the assistant said": cue.assistant_ref,
        "times": [f"{span.start.date()} to {span.end.date()}" for span in cue.windows],
    }


def _shares(found: Explanation) -> Table:
    """Return what each channel adds to each hit's score, the weightiest channels first."""
    total: dict[str, float] = {}
    for hit in found.hits:
        for name, score in hit.channels.items():
            total[name] = total.get(name, 0.0) + abs(score.share)
    names = sorted((name for name in total if total[name] > 0), key=lambda name: -total[name])[:_COLUMNS]
    heads = [safe(name.replace(".", "\n").replace("_", "\n")) for name in names]
    out = table("#", "score", *heads, right=("#", "score", *heads))
    for number, hit in enumerate(found.hits, start=1):
        cells = [hit.channels[name].share for name in names]
        out.add_row(
            str(number),
            f"{hit.rank_score:.2f}",
            *(
                Text(f"{cell:+.2f}", style="green" if cell > 0.005 else "red" if cell < -0.005 else "dim")
                for cell in cells
            ),
        )
    return out
