"""Sleep and forgetting: ``consolidate``, and ``lifecycle show``."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click
from rich.text import Text

from anamnos.cli.bulk import with_engine
from anamnos.cli.context import Target, command, print_json
from anamnos.cli.progress import progress_bar
from anamnos.cli.render import console, shown, table
from anamnos.cube import Scope
from anamnos.errors import AnamnosError
from anamnos.evolve.forget import DECAYS, DEFAULT_DECAY
from anamnos.evolve.sleep import STEPS, Report, together
from anamnos.system.bulk import Engine, Local, result

_decay_option = click.option(
    "--decay", type=click.Choice(list(DECAYS)), default=DEFAULT_DECAY, show_default=True, help="The rule of forgetting."
)
_turns_option = click.option("--turns", is_flag=True, help="What people said fades too, not only what was derived.")


@command("consolidate")
@click.option(
    "--step", "steps", multiple=True, type=click.Choice(STEPS), help="Only this step; several: those. Default: all."
)
@_decay_option
@_turns_option
@click.option(
    "--wording",
    type=click.Choice(["rules", "llm"]),
    default="rules",
    show_default=True,
    help="Topics and reflections in the words found, or by the language model of the settings.",
)
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Stop after so long.")
@click.option("--all", "everybody", is_flag=True, help="Every user of the vault, whatever scope the environment names.")
@with_engine
def consolidate(
    target: Target,
    steps: tuple[str, ...],
    decay: str,
    turns: bool,
    wording: str,
    budget: float | None,
    everybody: bool,
    engine: Engine,
) -> None:
    """Tidy up: repetitions, topics, what fades.

    Repetitions leave the search, what belongs together gets topics, facts are counted and listed, what was used lasts
    longer, and what has faded goes to the archive. Nothing is deleted. Only what is new is looked at; a run that was
    stopped is gone on with by the next. With --engine ray, users are worked on at the same time.

    \b
    Example:
      anamnos consolidate --user ann --budget 60
    """
    how: dict[str, Any] = {"steps": steps or STEPS, "decay": decay, "turns": turns, "wording": wording}
    how["budget_s"] = budget
    if not everybody and isinstance(engine, Local):
        scope = target.scope()
        with target.open() as memory, progress_bar("consolidating", "parts") as progress:
            _print(target, memory.consolidate(scope, progress=progress, **how))
        return
    scopes = None if everybody else [target.scope()]
    with target.open() as memory, engine, progress_bar("consolidating", "users") as progress:
        found = memory.consolidate_all(scopes, engine=engine, progress=progress, **how)
    if everybody:
        _print_all(target, found)
    else:
        _print(target, result(found[0][1]))


def _print_all(target: Target, found: list[tuple[Scope, Report | AnamnosError]]) -> None:
    reports = [(scope, made) for scope, made in found if isinstance(made, Report)]
    failed = [(scope, made) for scope, made in found if isinstance(made, AnamnosError)]
    whole = together([report for _, report in reports])
    if target.as_json:
        users = [{"scope": str(scope), **report.to_dict()} for scope, report in reports]
        errors = [{"scope": str(scope), **exc.to_dict()} for scope, exc in failed]
        print_json({**whole.to_dict(), "users": users, "failed": errors})
    else:
        _print(target, whole)
        console().print(Text(f"{len(reports):,} of {len(found):,} users", style="dim"))
        for scope, exc in failed:
            click.echo(f"{click.style('failed:', fg='red')} {scope}: {exc}", err=True)
    if failed:
        raise click.exceptions.Exit(failed[0][1].exit_code)


def _print(target: Target, report: Report) -> None:
    if target.as_json:
        print_json(report.to_dict())
        return
    out = table("step", "what changed", "seconds", right=("seconds",), wide="what changed")
    for step in report.steps:
        told = ", ".join(f"{count:,} {what}" for what, count in step.changed.items() if count) or "nothing"
        out.add_row(step.name, Text(told if step.finished else f"{told}; not through yet"), f"{step.seconds:.1f}")
    console().print(out)
    if not report.finished:
        console().print(Text("The time was over. Run it again to go on.", style="yellow"))


@command("show")
@_decay_option
@_turns_option
@click.option("--fading", "only_fading", is_flag=True, help="Only what would be archived, or nobody would miss.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many are listed.")
@click.option("--apply", "apply_", is_flag=True, help="Archive what has faded, as consolidate does.")
def show(target: Target, decay: str, turns: bool, only_fading: bool, limit: int, apply_: bool) -> None:
    """Show states, and how much is left of each memory.

    A memory of which less than 0.2 is left goes to the archive, by --apply or the next consolidation, once it is a day
    old. One in the archive of which less than 0.05 is left is only named: nothing expires by fading.

    \b
    Example:
      anamnos lifecycle show --user ann --decay memorybank --fading
    """
    scope = target.scope()
    with target.open() as memory:
        found = memory.retention(scope, decay=decay, turns=turns)
        report = memory.consolidate(scope, steps=("archive",), decay=decay, turns=turns) if apply_ else None
    states = Counter(str(each.cube.lifecycle.state) for each in found)
    listed = sorted((each for each in found if each.becomes or not only_fading), key=lambda each: each.retention)
    if target.as_json:
        document = {"states": dict(states), "decay": decay, "memories": [each.to_dict() for each in listed[:limit]]}
        print_json({**document, **({"archived": report.count("archived")} if report else {})})
        return
    console().print(Text(", ".join(f"{count:,} {state}" for state, count in sorted(states.items())) or "no memories"))
    out = table("left", "state", "becomes", "memory", right=("left",), wide="memory")
    for each in listed[:limit]:
        said = Text(shown(each.cube)[:200])
        out.add_row(f"{each.retention:.2f}", str(each.cube.lifecycle.state), str(each.becomes or ""), said)
    console().print(out)
    if len(listed) > limit:
        console().print(Text(f"and {len(listed) - limit:,} more", style="dim"))
    if report is not None:
        console().print(Text(f"archived {report.count('archived'):,}", style="green"))
