"""``anamnos bench index``: vector indexes side by side."""

from __future__ import annotations

import os
from pathlib import Path

import click

from anamnos.cli.bench_common import FOLDER, as_json_option, finish, progress_bars, report_option
from anamnos.errors import InvalidInput


@click.command()
@click.option(
    "--set", "--sets", "sets", multiple=True, metavar="NAME", help="sift, real, million, hard; several times."
)
@click.option(
    "--peer", "--peers", "named", multiple=True, metavar="NAME", help="Which index; several times, or with commas."
)
@click.option("--env", type=FOLDER, help="The environment that indexes of others are installed in.")
@click.option("--set-up", is_flag=True, help="First install them into it. Uses the network.")
@click.option("--data", type=FOLDER, help="The folder of the public data sets; not part of this project.")
@click.option("--cache", type=FOLDER, help="Where sets are kept.  [default: the user's cache folder]")
@click.option("--work", type=FOLDER, help="Where indexes are built and left; else they are removed.")
@click.option(
    "--size", "--sizes", "sizes", multiple=True, metavar="N", help="Take the first N of a set; several times."
)
@click.option("--step", "steps", multiple=True, metavar="NAME", help="build, search, cold, filters, churn; else all.")
@click.option("--queries", default=500, show_default=True, type=click.IntRange(min=1), help="Asked of each set.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1), help="Times they are asked.")
@click.option("--budget", default=20.0, show_default=True, help="Seconds per effort; 50 queries are always asked.")
@click.option("--churn-rows", default=200_000, show_default=True, type=click.IntRange(min=400), help="Rows of churn.")
@click.option("--seed", default=0, show_default=True, help="Of all that is drawn.")
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Add to this file of results, after each index; without --peer, only show what it holds.",
)
@click.option("--plot", type=FOLDER, help="Write charts into this folder; the report shows them.")
@as_json_option
@report_option
def index(
    sets: tuple[str, ...],
    named: tuple[str, ...],
    env: Path | None,
    set_up: bool,
    data: Path | None,
    cache: Path | None,
    work: Path | None,
    sizes: tuple[str, ...],
    steps: tuple[str, ...],
    queries: int,
    rounds: int,
    budget: float,
    churn_rows: int,
    seed: int,
    results: Path | None,
    plot: Path | None,
    as_json: bool,
    report: Path | None,
) -> None:
    """Measure vector indexes, ours and others, on the same vectors."""
    import platformdirs

    from anamnos.bench.index import run
    from anamnos.bench.index.curves import promises
    from anamnos.bench.plots import write_chart
    from anamnos.bench.report_index import index_charts

    peers = _words(named)
    if set_up:
        if env is None:
            raise InvalidInput("Nothing says where to install.", hint="Name a folder: --env DIR")
        for name, problem in run.set_up(env, peers).items():
            click.echo(f"{name}: {problem}", err=True)
    plan = run.Plan(
        steps=_words(steps) or run.STEPS,
        queries=queries,
        rounds=rounds,
        budget_s=budget,
        churn_rows=churn_rows,
        seed=seed,
    )
    with progress_bars() as progress:
        result = run.run_index(
            _words(sets),
            dict.fromkeys(peers, env),
            plan,
            cache=cache or Path(platformdirs.user_cache_dir("anamnos")) / "bench-index",
            data=data,
            sizes=[_size(word) for word in _words(sizes)],
            results=results,
            work=work,
            progress=progress,
        )
    if not any(result["runs"].values()):
        raise InvalidInput("Nothing was measured.", hint="Name a set and an index: --set million --peer usearch")
    result["limits"] = promises(result["runs"])
    if plot is not None:
        result["charts"] = {}
        for name, svg in index_charts(result).items():
            write_chart(plot / f"{name}.svg", svg)
            if report is not None:
                result["charts"][name] = os.path.relpath(plot / f"{name}.svg", report.parent).replace(os.sep, "/")
    finish(result, as_json, report)


def _words(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return each name once.

    >>> _words(("a,b", "c", "a"))
    ('a', 'b', 'c')
    """
    return tuple(dict.fromkeys(word for part in given for word in part.split(",") if word))


def _size(word: str) -> int:
    try:
        size = int(float(word))
    except ValueError:
        size = 0
    if size < 1:
        raise InvalidInput(f"{word!r} is no size.", hint="A number such as 100000 or 1e5.")
    return size
