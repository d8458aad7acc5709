"""The docs are true: their code runs, their links lead somewhere, and nothing that users meet is left out."""

import contextlib
import importlib.util
import inspect
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import click
import pytest

import anamnos
from anamnos import AsyncMemory, Memory
from anamnos.config import PREFIX, Settings
from served_vault import served

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WRITTEN_BY_BENCH = DOCS / "benchmarks.md"  # its numbers are not written by hand, so it may not be there yet
MARK = "end of block"
PAGES = sorted(ROOT.glob("*.md")) + sorted(page for page in DOCS.rglob("*.md") if page != WRITTEN_BY_BENCH)


class Block(NamedTuple):
    """A fenced block of a page: its language, its text, and the line of its first line of text."""

    language: str
    text: str
    line: int


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    lines = page.read_text("utf-8").split("\n")
    start, language, fence = 0, "", ""
    for number, line in enumerate(lines):
        if not fence and (opened := re.match(r"(`{3,})(\w*)", line)):
            start, fence, language = number + 1, opened[1], opened[2]
        elif fence and line == fence:
            found.append(Block(language, "\n".join(lines[start:number]), start + 1))
            fence = ""
    assert not fence, f"{named(page)}: the block of line {start} does not end"
    return found


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^(`{3,}).*?^\1$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


@cache
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "tools" / "make_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def commands() -> dict[str, click.Command]:
    return dict(reference().commands())


def with_blocks(page: Path, language: str) -> bool:
    return any(block.language == language for block in blocks(page))


def shell_says(page: Path) -> bool:
    """Return whether a page shows what its shell prints."""
    return any(above.language == "sh" and block.language == "output" for above, block in pairwise(blocks(page)))


# --- code


@pytest.fixture
def settings_of_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, and no settings of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ANAMNOS_EMBEDDER", "hashing")
    monkeypatch.setenv("ANAMNOS_VAULT", str(tmp_path / "default-vault"))


@pytest.mark.parametrize("page", [page for page in PAGES if with_blocks(page, "python")], ids=named)
@pytest.mark.usefixtures("settings_of_a_page")
def test_the_python_of_a_page_runs_and_prints_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of a page share their names; an ``output`` block is what the block right above it prints.

    A block that begins with ``# needs PACKAGE`` runs where that package is installed. Where ``$ANAMNOS_URL`` is used,
    a server is there.
    """
    names: dict[str, Any] = {"__name__": "page"}
    printed: str | None = None  # None: the block above did not run here
    with contextlib.ExitStack() as until_the_end:
        if any(block.language == "python" and "ANAMNOS_URL" in block.text for block in blocks(page)):
            environment = until_the_end.enter_context(served(tmp_path / "served-vault"))
            for name in ("ANAMNOS_URL", "ANAMNOS_KEY"):
                monkeypatch.setenv(name, environment[name])
        for block in blocks(page):
            if block.language == "output":
                assert printed is None or printed.rstrip() == block.text.rstrip(), f"{named(page)}, line {block.line}"
            printed = None
            if block.language == "python" and runs_here(block):
                code = compile("\n" * (block.line - 1) + block.text, named(page), "exec")
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    exec(code, names)
                printed = out.getvalue()


def runs_here(block: Block) -> bool:
    needed = re.match(r"# needs ([\w.]+)", block.text)
    if needed:
        return importlib.util.find_spec(needed[1]) is not None
    return not block.text.startswith("# not run")


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "jq"))), reason="needs bash, curl and jq")
@pytest.mark.parametrize("page", [page for page in PAGES if shell_says(page)], ids=named)
@pytest.mark.usefixtures("settings_of_a_page")
def test_the_shell_of_a_page_runs_and_prints_what_the_page_says(page: Path, tmp_path: Path) -> None:
    """The ``sh`` blocks of a page that shows what they print are one script; its server has the vault my-vault.

    What ``shell`` blocks say is not run: installing, starting a server, other machines.
    """
    shown = blocks(page)
    names: dict[str, Any] = {"__name__": "page"}
    for block in shown:  # what the page remembers from Python
        if block.language == "python" and not block.text.startswith("# needs"):
            exec(compile(block.text, named(page), "exec"), names)
    script = [block for block in shown if block.language == "sh"]
    marked = "\n".join(f"{block.text}\nprintf '\\n<{MARK} %d>\\n' {block.line}" for block in script)
    alone = contextlib.nullcontext(dict(os.environ))
    with served(tmp_path / "my-vault") if "$ANAMNOS_URL" in marked else alone as environment:
        environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", marked],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, f"{named(page)}: {done.stdout[-500:]}\n{done.stderr}"
    printed = dict(zip([b.line for b in script], re.split(rf"\n<{MARK} \d+>\n", done.stdout), strict=False))
    for above, block in pairwise(shown):
        if block.language == "output" and above.language == "sh":
            assert printed[above.line].rstrip() == block.text.rstrip(), f"{named(page)}, line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_commands_of_a_page_exist_with_their_options(page: Path) -> None:
    for block in blocks(page):
        if block.language not in ("sh", "shell"):
            continue
        for line in block.text.replace("\\\n", " ").split("\n"):
            words = shlex.split(line, comments=True)
            for part in re.split(r" (?:&&|\|) ", " ".join(words)):
                check_command(part.removeprefix("sudo ").split(), f"{named(page)}: {line}")


def check_command(words: list[str], where: str) -> None:
    if words[:1] == ["make"]:
        targets = [word for word in words[1:] if "=" not in word]
        makefile = (ROOT / "Makefile").read_text("utf-8")
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets), where
    if words[:1] == ["anamnos-admin"]:  # of deploy/systemd
        words = ["anamnos", *words[1:]]
    if words[:1] != ["anamnos"] or words[1:2] == ["--help"]:
        return
    name = next((n for n in (" ".join(words[:length]) for length in (4, 3, 2)) if n in commands()), None)
    assert name is not None, where
    known = {option for param in commands()[name].params for option in (*param.opts, *param.secondary_opts)}
    assert {word for word in words if re.match(r"--?[a-z]", word)} <= known | {"--help"}, where


def test_the_tests_that_a_page_names_are_there() -> None:
    sources = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "src" / "anamnos" / "testing").glob("*.py")]
    there = {name for source in sources for name in re.findall(r"def (test_\w+)", source.read_text("utf-8"))}
    for page in PAGES:
        assert set(re.findall(r"`(test_\w+)`", prose(page))) <= there, named(page)


# --- links


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file == WRITTEN_BY_BENCH or file.exists(), f"{named(page)}: {target}"
        if anchor and file.exists():
            assert anchor in anchors(file), f"{named(page)}: {target}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_index() -> None:
    linked = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)\)", prose(DOCS / "index.md"))}
    assert {page for page in PAGES if DOCS in page.parents and page.name != "index.md"} <= linked
    assert "docs/index.md" in (ROOT / "README.md").read_text("utf-8")


# --- nothing is left out


def test_the_generated_parts_are_up_to_date() -> None:
    made = reference()
    for name, (path, make) in made.PARTS.items():
        page = (DOCS / path).read_text("utf-8")
        new = made.brought_up_to_date(page, name, make())
        # other versions of click break lines elsewhere
        assert page.split() == new.split(), f"docs/{path} is out of date: run python tools/make_reference.py"


def test_every_command_has_a_help_and_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "cli.md").read_text("utf-8")
    for name, command in commands().items():
        assert command.help, name
        assert f"## {name}\n" in page, name
    for name in reference().cli.lazy:
        assert f"anamnos {name}" in commands()


def test_every_setting_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "settings.md").read_text("utf-8")
    for setting in fields(Settings):
        assert f"| `{setting.name}` | `{PREFIX}{setting.name.upper()}` |" in page
        assert reference().described(Settings).get(setting.name), f"{setting.name} is not described"


def test_every_error_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "errors.md").read_text("utf-8")
    for _, kind in reference().error_classes():
        assert f"`{kind.__name__}` | `{kind.code}` | {kind.exit_code} | {kind.http_status} |" in page


def test_every_public_name_and_verb_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "python.md").read_text("utf-8")
    verbs = [name for name, value in vars(Memory).items() if inspect.isfunction(value) and not name.startswith("_")]
    for name in [*anamnos.__all__, *verbs]:
        assert f"`{name}" in page, name
    assert {verb for verb in verbs if not hasattr(AsyncMemory, verb)} == {"as_principal"}  # there is nothing to await


def test_the_readme_names_what_a_newcomer_types() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for words in ("make demo", "make demo FILE=", "make test", "pip install -e '.[embed]'", "anamnos setup"):
        assert words in readme
    assert len(readme.split("\n")) <= 180


@pytest.mark.parametrize("verb", ["add", "ingest", "search", "ask", "delete"])
def test_the_readme_shows_the_daily_commands(verb: str) -> None:
    assert f"anamnos {verb} " in (ROOT / "README.md").read_text("utf-8")
