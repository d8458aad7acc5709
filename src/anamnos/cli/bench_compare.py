"""``anamnos bench compare``, ``ablate`` and ``peers``: Anamnos beside other systems, and beside itself with less."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from anamnos.cli.bench_common import (
    FILE,
    FOLDER,
    as_json_option,
    embedder_option,
    finish,
    model_dir_option,
    model_folder,
    progress_bars,
    report_option,
)
from anamnos.errors import InvalidInput


@click.command()
@click.option("--data", required=True, type=FILE, help="A LoCoMo file; not part of this project.")
@click.option(
    "--peer",
    "named",
    required=True,
    multiple=True,
    metavar="NAME[=ENV_DIR]",
    help="Which system, and its environment; may be given several times. See: anamnos bench peers list",
)
@click.option("--conversations", default=2, show_default=True, type=click.IntRange(min=1), help="The first so many.")
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(min=1), help="Times all are run.")
@click.option("--embedder", default="minilm", show_default=True, help="Given to all.")
@model_dir_option
@click.option("--plot", type=FOLDER, help="Write charts into this folder; the report shows them.")
@as_json_option
@report_option
def compare(
    data: Path,
    named: tuple[str, ...],
    conversations: int,
    rounds: int,
    embedder: str,
    model_dir: Path | None,
    plot: Path | None,
    as_json: bool,
    report: Path | None,
) -> None:
    """Run Anamnos and other systems on the same conversations."""
    from anamnos.bench.compare import run_compare
    from anamnos.bench.plots import write_chart
    from anamnos.bench.report_compare import compare_charts

    with progress_bars() as progress:
        result = run_compare(
            data,
            _peers(named),
            embedder=embedder,
            model_dir=model_folder(model_dir),
            limit_conversations=conversations,
            rounds=rounds,
            progress=progress,
        )
    if plot is not None:
        result["charts"] = {}
        for name, svg in compare_charts(result).items():
            write_chart(plot / f"{name}.svg", svg)
            if report is not None:
                result["charts"][name] = os.path.relpath(plot / f"{name}.svg", report.parent).replace(os.sep, "/")
    finish(result, as_json, report)


def _peers(named: tuple[str, ...]) -> dict[str, Path | None]:
    """Return name -> environment of "mem0=env" or "dense"."""
    found: dict[str, Path | None] = {}
    for word in named:
        name, _, folder = word.partition("=")
        if name in found:
            raise InvalidInput(f"The peer {name!r} is named twice.")
        found[name] = Path(folder) if folder else None
    return found


@click.command()
@click.option("--data", required=True, type=FILE, help="A LoCoMo file; not part of this project.")
@click.option(
    "--realtalk",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of the REALTALK chats, to score too.",
)
@click.option("--recipe", help="Whose channels; as the settings say, if left out.")
@click.option(
    "--limit-conversations", type=click.IntRange(min=1), help="Take only the first so many of the LoCoMo file."
)
@embedder_option
@model_dir_option
@as_json_option
@report_option
def ablate(
    data: Path,
    realtalk: Path | None,
    recipe: str | None,
    limit_conversations: int | None,
    embedder: str,
    model_dir: Path | None,
    as_json: bool,
    report: Path | None,
) -> None:
    """Leave out each channel of a recipe in turn, add each that it lacks, and see what that does to recall."""
    from anamnos.bench.ablate import run_ablate
    from anamnos.config import load_settings
    from anamnos.embed import resolve_embedder

    with progress_bars() as progress:
        result = run_ablate(
            data,
            resolve_embedder(embedder, model_dir=model_folder(model_dir)),
            chats=realtalk,
            recipe=recipe or load_settings(Path()).recipe,
            limit_conversations=limit_conversations,
            progress=progress,
        )
    finish(result, as_json, report)


@click.group()
def peers() -> None:
    """Install the systems to compare with."""


@peers.command("list")
@as_json_option
def peers_list(as_json: bool) -> None:
    """List the systems that can be compared with, and what each installs."""
    from anamnos.bench.peers.setup import PEERS

    wanted = {name: [word for call in peer.installs for word in call if word[0] != "-"] for name, peer in PEERS.items()}
    lines = (f"{name:<18}{', '.join(words) or 'nothing: needs no environment'}" for name, words in wanted.items())
    click.echo(json.dumps(wanted) if as_json else "\n".join(lines))


@peers.command("setup")
@click.argument("name")
@click.option("--env", required=True, type=FOLDER, help="Where its environment is made.")
@as_json_option
def peers_setup(name: str, env: Path, as_json: bool) -> None:
    """Install the peer NAME into an environment of its own. Uses the network."""
    from anamnos.bench.peers.setup import set_up

    versions = set_up(name, env)
    click.echo(json.dumps(versions) if as_json else "\n".join(f"{p} {v}" for p, v in versions.items()))


COMMANDS: tuple[click.Command, ...] = (compare, ablate, peers)
