"""``calibrate``: weights that suit somebody's own questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.render import console, pairs
from anamnos.errors import InvalidInput


@command("calibrate")
@click.argument("questions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only show what it would bring.")
def calibrate(target: Target, questions: Path, dry_run: bool) -> None:
    """Fit the weights of channels to questions with answers.

    QUESTIONS has one JSON object a line: {"question": "…", "answers": ["<id of a memory or a message>", …]}. The new
    weights are used only if they raise recall on questions that they were not fitted to by more than chance would.

    \b
    Example:
      anamnos calibrate questions.jsonl --user ann
    """
    scope, asked = target.scope(), _read(questions)
    with target.open() as memory:
        result = memory.calibrate(asked, scope, adopt=not dry_run)
    if target.as_json:
        print_json({**result.to_dict(), "dry_run": dry_run})
        return
    verdict = "better, and used from now on" if result.adopted else "no more than chance: the weights stay as they are"
    if result.adopted and dry_run:
        verdict = "better; leave out --dry-run to use them"
    console().print(
        pairs(
            [
                ("questions", f"{result.questions:,}"),
                ("recall@10 as it is", f"{result.before:.3f}"),
                ("with weights of others", f"{result.after:.3f}  (± {result.error:.3f} for the difference)"),
                *((name, f"{weight:+.2f}") for name, weight in result.weights.items()),
            ]
        )
    )
    console().print(Text(verdict, style="green" if result.adopted else "yellow"))


def _read(path: Path) -> list[tuple[str, list[str]]]:
    """Return the questions of a file with their answers. Raises: InvalidInput naming the line that is wrong."""
    found: list[tuple[str, list[str]]] = []
    for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            one: Any = json.loads(line)
            question, answers = one["question"], one["answers"]
            if not isinstance(question, str) or not answers or not all(isinstance(name, str) for name in answers):
                raise TypeError
        except (ValueError, TypeError, KeyError) as exc:
            raise InvalidInput(
                f"{path}, line {number}, is not a question with its answers.",
                hint='Write {"question": "…", "answers": ["<id>"]}, one a line.',
            ) from exc
        found.append((question, answers))
    return found
