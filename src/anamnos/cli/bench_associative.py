"""``anamnos bench associative``: the experiments of the associative memories."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from anamnos.cli.bench_common import FOLDER, as_json_option, command_line, progress_bars, report_option


def _complete(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    from anamnos.bench.associative import EXPERIMENTS

    return [CompletionItem(name) for name in EXPERIMENTS if name.startswith(typed)]


@click.command()
@click.argument("experiments", nargs=-1, shell_complete=_complete)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of public data sets (mnist, texts); not part of this project. Without it, what needs none is run.",
)
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(min=1), help="How often, with seeds 0, 1 …")
@click.option("--quick", is_flag=True, help="Small samples, to see that it runs: the figures are no results.")
@click.option("--cache", type=FOLDER, help="Folder for vectors that take long to make.")
@click.option(
    "--peer",
    "environments",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A virtual environment in which torchhd or Brian 2 is installed; may be given several times.",
)
@click.option("--plot", type=FOLDER, help="Write charts into this folder; the report shows them.")
@click.option("--list", "as_list", is_flag=True, help="Show which experiments there are.")
@as_json_option
@report_option
def associative(
    experiments: tuple[str, ...],
    data: Path | None,
    seeds: int,
    quick: bool,
    cache: Path | None,
    environments: tuple[Path, ...],
    plot: Path | None,
    as_list: bool,
    as_json: bool,
    report: Path | None,
) -> None:
    """Run EXPERIMENTS on the associative memories; all of them if none is named."""
    from anamnos.bench.associative import EXPERIMENTS
    from anamnos.bench.associative.experiment import Setting
    from anamnos.bench.associative.run import run_associative
    from anamnos.bench.report import section, write_report

    if as_list:
        click.echo(json.dumps(EXPERIMENTS) if as_json else "\n".join(EXPERIMENTS))
        return
    with progress_bars() as progress:
        setting = Setting(data, tuple(range(seeds)), quick, cache, progress, environments)
        results = run_associative(experiments, setting, plots=plot)
    for result in results:
        words = [word for word in shlex.split(command_line()) if word not in EXPERIMENTS]
        words.insert(words.index("associative") + 1, result["experiment"]["name"])
        result["command"] = shlex.join(words)  # how to get just this one
        if report is not None:
            write_report(report, result)
    if as_json:
        click.echo(json.dumps(results, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    for result in results:
        Console().print(Markdown(section(result)))
