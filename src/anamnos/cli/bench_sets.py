"""``anamnos bench`` over data sets that say which documents are right: one command each, one runner for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anamnos.cli.bench_common import (
    FILE,
    as_json_option,
    embedder_option,
    finish,
    model_dir_option,
    model_folder,
    progress_bars,
    report_option,
)

if TYPE_CHECKING:
    from anamnos.bench.cases import DataSet

_PATH = click.Path(exists=True, path_type=Path)
_WRITTEN = click.Path(dir_okay=False, path_type=Path)
_limit = click.option("--limit", type=click.IntRange(min=1), help="Ask only so many questions, spread over all.")
_recipe = click.option("--recipe", help="How to recall; as the settings say, if left out.")


def _data(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option("--data", required=True, type=_PATH, help=f"{what}; not part of this project.")


def _retrieval(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a benchmark of retrieval."""
    for option in (
        report_option,
        as_json_option,
        click.option("--plot", type=_WRITTEN, help="Draw recall against depth into this SVG file."),
        click.option("--rows", type=_WRITTEN, help="Write a JSON line per question, for: anamnos bench versus"),
        _limit,
        click.option(
            "--system",
            type=click.Choice(["anamnos", "bm25"]),
            default="anamnos",
            show_default=True,
            help="What is measured; bm25 is the plain baseline.",
        ),
        _recipe,
        model_dir_option,
        embedder_option,
    ):
        command = option(command)
    return command


def _run(
    data_set: DataSet,
    embedder: str,
    model_dir: Path | None,
    as_json: bool,
    report: Path | None,
    plot: Path | None,
    more: Callable[..., dict[str, Any]] | None = None,
    **options: Any,
) -> None:
    """Run a benchmark of retrieval and show it.

    more  (data set as asked, embedder, progress) -> levels that the search does not give
    """
    from anamnos.bench.plots import recall_chart, write_chart
    from anamnos.bench.retrieval import run_retrieval
    from anamnos.embed import resolve_embedder

    with progress_bars() as progress:
        found = resolve_embedder(embedder, model_dir=model_folder(model_dir))
        result = run_retrieval(data_set, found, progress=progress, **options)
        if more is not None and options["system"] == "anamnos":
            result["levels"] |= more(data_set, found, progress, options["limit"])
    if plot is not None:
        write_chart(plot, recall_chart(result))
    finish(result, as_json, report)


@click.command()
@_data("A LongMemEval file: S, M, oracle, or a part of one")
@click.option(
    "--variant",
    type=click.Choice(["user", "all", "user-sessions"]),
    default="user",
    show_default=True,
    help="A memory per user turn (official), per turn of anybody, or per session of user turns.",
)
@_retrieval
def longmemeval(data: Path, variant: str, **options: Any) -> None:
    """Ask the questions of LongMemEval and see whether turns and sessions with the evidence are found."""
    from anamnos.bench.sets.longmemeval import load

    _run(load(data, variant), **options)


@click.command()
@_data("HotpotQA questions with the corpus beside them")
@_retrieval
def hotpotqa(data: Path, **options: Any) -> None:
    """Find both passages that a question of HotpotQA takes."""
    from anamnos.bench.sets.multihop import load_hotpotqa

    _run(load_hotpotqa(data), **options)


@click.command()
@_data("MuSiQue questions with the corpus beside them")
@_retrieval
def musique(data: Path, **options: Any) -> None:
    """Find the two to four passages that a question of MuSiQue takes."""
    from anamnos.bench.sets.multihop import load_musique

    _run(load_musique(data), **options)


@click.command()
@_data("2WikiMultihopQA questions or worked examples with the corpus beside them")
@_retrieval
def twowiki(data: Path, **options: Any) -> None:
    """Find the passages that a question of 2WikiMultihopQA takes."""
    from anamnos.bench.sets.multihop import load_twowiki

    _run(load_twowiki(data), **options)


@click.command("path-finding")
@_data("HippoRAG's case studies")
@_retrieval
def path_finding(data: Path, **options: Any) -> None:
    """Find two clues that no passage links."""
    from anamnos.bench.sets.multihop import load_path_finding

    _run(load_path_finding(data), **options)


@click.command()
@_data("NQ-open questions with their gold passages")
@_retrieval
def nq(data: Path, **options: Any) -> None:
    """Find the passage that answers a real question, among those of all questions."""
    from anamnos.bench.sets.nq import load

    _run(load(data), **options)


@click.command()
@_data("Key-value records")
@_retrieval
def kv(data: Path, **options: Any) -> None:
    """Look up random keys among pairs of random keys and values."""
    from anamnos.bench.sets.kv import load

    _run(load(data), **options)


@click.command()
@_data("A folder or archive of the bAbI tasks")
@click.option(
    "--split",
    type=click.Choice(["valid", "test", "train"]),
    default="valid",
    show_default=True,
    help="Which questions: 100 a task, 1,000, or 900.",
)
@_retrieval
def babi(data: Path, split: str, **options: Any) -> None:
    """Find the supporting sentences of the questions of the 20 bAbI tasks."""
    from anamnos.bench.sets.babi import load

    _run(load(data, split), **options)


@click.command()
@_data("The folder of PersonaMem's queries and documents")
@_retrieval
def personamem(data: Path, **options: Any) -> None:
    """Find the chats of the person who asks, among everybody's."""
    from anamnos.bench.sets.personamem import load

    _run(load(data), **options)


@click.command()
@click.option(
    "--twin",
    type=click.Choice(["locomo", "longmemeval", "facts", "needle"]),
    default="locomo",
    show_default=True,
    help="Which one. For the order of events: anamnos bench sort, without --data.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="The same seed, the same data.")
@_retrieval
def twins(twin: str, seed: int, **options: Any) -> None:
    """Measure on made-up data in the shape of the public sets."""
    from anamnos.bench.sets.twins import TWINS, more_of

    _run(TWINS[twin](seed), more=more_of(twin), **options)


@click.command()
@click.option("--data", type=_PATH, help="A book as plain text or a folder of them; made up, if left out.")
@click.option("--pairs", default=20, show_default=True, type=click.IntRange(min=2), help="Per bin; the paper's is 110.")
@click.option(
    "--dropout", default=0.0, show_default=True, type=click.FloatRange(0, 0.95), help="Words left out of cues."
)
@click.option("--limit", type=click.IntRange(min=1), help="Take only the first so many books.")
@_recipe
@embedder_option
@model_dir_option
@as_json_option
@report_option
def sort(embedder: str, model_dir: Path | None, as_json: bool, report: Path | None, **options: Any) -> None:
    """Ask which of two segments of a book comes first (Book-SORT)."""
    from anamnos.bench.sort import run_sort
    from anamnos.embed import resolve_embedder

    with progress_bars() as progress:
        found = resolve_embedder(embedder, model_dir=model_folder(model_dir))
        result = run_sort(embedder=found, progress=progress, **options)
    finish(result, as_json, report)


@click.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@click.option("--metric", "metrics", multiple=True, help="For instance recall_all@5; may be given several times.")
@as_json_option
@report_option
def versus(first: Path, second: Path, metrics: tuple[str, ...], as_json: bool, report: Path | None) -> None:
    """Compare two runs over the same questions, from the files that --rows wrote."""
    from anamnos.bench.versus import run_versus

    finish(run_versus(first, second, metrics), as_json, report)


COMMANDS: tuple[click.Command, ...] = (
    longmemeval,
    hotpotqa,
    musique,
    twowiki,
    path_finding,
    nq,
    kv,
    babi,
    personamem,
    sort,
    twins,
    versus,
)
