"""``anamnos jobs`` and ``anamnos worker``: see, steer and do background work."""

from __future__ import annotations

import math
import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.render import console, pairs, safe, table, when
from anamnos.errors import InvalidInput

if TYPE_CHECKING:
    from anamnos.store.jobs import Job
    from anamnos.system.scheduler import Worker

STATES = ("waiting", "running", "done", "dead")
COLOURS = {"waiting": "cyan", "running": "green", "done": "dim", "dead": "red"}


@click.group("jobs")
def jobs() -> None:
    """See and steer background work."""


@command("list", scope=False)
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only in this state; repeatable.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only of this kind; repeatable.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
def list_(target: Target, states: tuple[str, ...], kinds: tuple[str, ...], limit: int) -> None:
    """Show jobs, the newest first, and what recurs.

    \b
    Example:
      anamnos jobs list --state dead
    """
    with target.open() as memory:
        found = memory.jobs.list(states=states, kinds=kinds, limit=limit)
        recurring, paused, counts = memory.jobs.recurring(), memory.jobs.paused(), memory.jobs.counts()
    if target.as_json:
        document = {
            "jobs": [job.to_dict() for job in found],
            "counts": [{"kind": kind, "state": state, "jobs": number} for (kind, state), number in counts.items()],
            "recurring": [
                {"kind": one.kind, "scope": one.scope and one.scope.to_dict(), "every_s": one.every.total_seconds()}
                for one in recurring
            ],
            "paused": sorted(kind or "*" for kind in paused),
        }
        print_json(document)
        return
    console().print(job_table(found))
    for one in recurring:
        console().print(
            Text(f"every {one.every}: {one.kind} for {one.scope or 'everybody'}, next {when(one.run_after)}")
        )
    if paused:
        console().print(Text("paused: " + ", ".join(sorted(kind or "all" for kind in paused)), style="yellow"))


@command("show", scope=False)
@click.argument("number", type=int, metavar="JOB")
def show(target: Target, number: int) -> None:
    """Show all that is known of a job.

    \b
    Example:
      anamnos jobs show 12
    """
    with target.open() as memory:
        found = memory.jobs.get(number)
    _print(target, [found])


@command("add")
@click.argument("kind", metavar="KIND")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the job; repeatable.")
@click.option("--priority", type=click.IntRange(1, 3), default=3, show_default=True, help="1 goes first.")
@click.option("--every", metavar="HOURS", type=click.FloatRange(0, min_open=True), help="Again and again, so often.")
@click.option("--never", is_flag=True, help="Let a job that recurs recur no more.")
def add(target: Target, kind: str, settings: tuple[str, ...], priority: int, every: float | None, never: bool) -> None:
    """Add a job, once or again and again.

    It is about the named user, or about everybody if nobody is named. KIND is enrich, resolve, consolidate,
    expire or reindex.

    \b
    Example:
      anamnos jobs add consolidate --every 24
    """
    payload = dict(_setting(text) for text in settings)
    scope = target.scope_or_none()
    with target.open() as memory:
        if kind not in memory.jobs.handlers:
            raise InvalidInput(
                f"Nothing does jobs of kind {kind!r}.", hint=f"Use: {', '.join(sorted(memory.jobs.handlers))}."
            )
        if every is None and not never:
            _print(target, [memory.jobs.add(kind, scope, payload=payload, priority=priority, key="by-hand")])
            return
        interval = None if never or every is None else timedelta(hours=every)
        memory.jobs.every(interval, kind, scope, payload=payload, priority=priority)
    if target.as_json:
        print_json({"kind": kind, "every_s": interval and interval.total_seconds()})
    else:
        console().print(Text(f"{kind} recurs every {interval}" if interval else f"{kind} recurs no more"))


def _steer(name: str, help: str) -> None:
    """Add a command that steers the jobs whose numbers it is given."""

    @command(name, scope=False)
    @click.argument("numbers", nargs=-1, required=True, type=int, metavar="JOB...")
    def run(target: Target, numbers: tuple[int, ...]) -> None:
        with target.open() as memory:
            _print(target, [getattr(memory.jobs, name)(number) for number in numbers])

    run.help = f"{help}\n\n\b\nExample:\n  anamnos jobs {name} 12"
    jobs.add_command(run)


def _hold(name: str, help: str) -> None:
    """Add a command that pauses or resumes kinds."""

    @command(name, scope=False)
    @click.argument("kinds", nargs=-1, metavar="[KIND]...")
    def run(target: Target, kinds: tuple[str, ...]) -> None:
        with target.open() as memory:
            for kind in kinds or (None,):
                getattr(memory.jobs, name)(kind)
            paused = sorted(kind or "all" for kind in memory.jobs.paused())
        if target.as_json:
            print_json({"paused": paused})
        else:
            console().print(Text(f"paused: {', '.join(paused) or 'nothing'}"))

    run.help = f"{help}\n\nWithout a kind: all.\n\n\b\nExample:\n  anamnos jobs {name} enrich"
    jobs.add_command(run)


@command("clean", scope=False)
@click.option("--older-than", type=click.FloatRange(0), default=0.0, metavar="DAYS", help="Only those that old.")
@click.option("--dead", is_flag=True, help="Remove dead ones too.")
def clean(target: Target, older_than: float, dead: bool) -> None:
    """Remove jobs that are done.

    The last 1,000 of them are kept otherwise.

    \b
    Example:
      anamnos jobs clean --older-than 7 --dead
    """
    with target.open() as memory:
        removed = memory.jobs.clean(timedelta(days=older_than), dead=dead)
    if target.as_json:
        print_json({"removed": removed})
    else:
        console().print(Text(f"removed {removed:,}"))


jobs.add_command(list_)
jobs.add_command(show)
jobs.add_command(add)
_steer("retry", "Let dead or waiting jobs run as soon as may be.")
_steer("cancel", "Give waiting or running jobs up; they are dead until you retry them.")
_hold("pause", "Begin no job of these kinds, in no process.")
_hold("resume", "Let paused kinds go on.")
jobs.add_command(clean)


@command("worker", scope=False)
@click.option("--once", is_flag=True, help="End when nothing is due.")
@click.option("--for", "seconds", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="End after so long.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Do only jobs of this kind; repeatable.")
@click.option("--job-seconds", type=click.FloatRange(0, min_open=True), default=600.0, show_default=True,
              help="What one job may take.")  # fmt: skip
@click.option("--memory-mb", type=click.FloatRange(0, min_open=True), metavar="MB", help="What this process may hold.")
@click.option("--poll", type=click.FloatRange(0.01), default=0.5, show_default=True, metavar="SECONDS",
              help="How often to look for work.")  # fmt: skip
def worker(
    target: Target,
    once: bool,
    seconds: float | None,
    kinds: tuple[str, ...],
    job_seconds: float,
    memory_mb: float | None,
    poll: float,
) -> None:
    """Do background jobs until you stop it.

    Any number of workers may share a vault. At SIGTERM or SIGINT (Ctrl-C) the job in hand is finished or handed back;
    a second Ctrl-C ends at once. What a kill interrupts is done by the next worker.

    \b
    Example:
      anamnos worker --memory-mb 2000
    """
    from anamnos.system.scheduler import Budget

    budget = Budget(job_seconds, memory_mb or math.inf)
    with target.open(background="worker") as memory:
        runner = memory.jobs.worker(kinds=kinds or None, budget=budget, poll_s=poll)
        before = _stop_at_signals(runner)
        try:
            begun = runner.run(until_idle=once, max_s=seconds or math.inf)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        counts = memory.jobs.counts()
    left = {state: sum(n for (_, s), n in counts.items() if s == state) for state in ("waiting", "running", "dead")}
    if target.as_json:
        print_json({"begun": begun, **left})
    else:
        console().print(
            Text(f"begun {begun:,}", style="green"), Text(f"waiting {left['waiting']:,}, dead {left['dead']:,}")
        )


def _stop_at_signals(runner: Worker) -> dict[int, Any]:
    """Let the first SIGTERM or SIGINT stop a worker in good order; return the handlers from before."""
    before: dict[int, Any] = {}

    def stop(number: int, _: object) -> None:
        runner.stop(wait=False)
        signal.signal(number, before[number])

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.getsignal(number)
        signal.signal(number, stop)
    return before


def job_table(found: list[Job]) -> Any:
    """Return jobs as a table."""
    out = table(
        "job",
        "state",
        "kind",
        "whose",
        "tries",
        "progress",
        "next or last",
        "error",
        right=("job", "tries"),
        wide="error",
    )
    for job in found:
        last = job.run_after if job.state == "waiting" else job.finished_at or job.started_at
        out.add_row(
            str(job.id),
            Text(job.state, style=COLOURS[job.state]),
            Text(safe(job.kind)),
            Text(safe(str(job.scope or "all"))),
            f"{job.attempts}/{job.max_attempts}",
            f"{job.done:,}/{job.total:,}" if job.total else "",
            when(last),
            Text(safe(job.error)),
        )
    return out


def _print(target: Target, found: list[Job]) -> None:
    if target.as_json:
        print_json(found[0].to_dict() if len(found) == 1 else {"jobs": [job.to_dict() for job in found]})
    elif len(found) == 1:
        console().print(
            pairs([(name, str(value)) for name, value in found[0].to_dict().items() if value not in (None, "")])
        )
    else:
        console().print(job_table(found))


def _setting(text: str) -> tuple[str, Any]:
    """Return name and value of ``name=value``; a value that is JSON is read as such."""
    import json

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidInput(f"--set needs NAME=VALUE, got {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
