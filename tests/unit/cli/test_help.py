"""What people see first: help, version, completion; and that it takes no time."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import click
import pytest

import anamnos as package
from anamnos.cli.lazy import LazyGroup
from anamnos.cli.main import SECTIONS, cli

from .conftest import Cli

COMMANDS = [name for section in SECTIONS.values() for name in section]
HERE = [name for name in COMMANDS if name != "bench" or find_spec("anamnos.cli.bench")]

NO_HEAVY_IMPORT = """
import sys, types, importlib.util
package = types.ModuleType("anamnos")  # stands for anamnos/__init__.py, so that only the command line is looked at
package.__path__, package.__version__ = [{path!r}], "0"
sys.modules["anamnos"] = package
from anamnos.cli.main import cli
sys.argv = ["anamnos", {word!r}]
try:
    cli.main(prog_name="anamnos")
except SystemExit as exc:
    assert not exc.code, exc.code
heavy = {{"numpy", "onnxruntime", "apsw", "rich", "tokenizers", "anamnos.memory", "anamnos.cube"}} & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""


def commands(group: click.Command, name: str, ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield name, group
    if isinstance(group, click.Group):
        for sub in group.list_commands(ctx):
            if isinstance(group, LazyGroup) and sub not in HERE:
                continue
            command = group.get_command(ctx, sub)
            assert command is not None, sub
            yield from commands(command, f"{name} {sub}", ctx)


def all_commands() -> list[tuple[str, click.Command]]:
    return list(commands(cli, "anamnos", click.Context(cli)))


def test_help_lists_every_command_by_section(anamnos: Cli) -> None:
    text = anamnos.run("--help").stdout
    for heading, section in SECTIONS.items():
        assert heading in text
        for name, lazy in section.items():
            assert f"  {name} " in text
            assert lazy.help in text
    assert "Example:" in text
    assert text == anamnos.run().stdout


def test_every_command_is_in_one_section() -> None:
    assert len(COMMANDS) == len(set(COMMANDS))
    wanted = "add ingest enrich search explain ask list get history update delete lifecycle export import backup verify"
    assert set(COMMANDS) == {
        *wanted.split(),
        "bundle",
        "tags",
        "states",
        "route",
        "restore",
        "mount",
        "quota",
        "rebuild-index",
        "reembed",
        "stats",
        "calibrate",
        "consolidate",
        "resolve",
        "correct",
        "merge",
        "unmerge",
        "doctor",
        "migrate-store",
        "encrypt",
        "decrypt",
        "rotate-key",
        "jobs",
        "worker",
        "top",
        "expire",
        "forget-person",
        "policy",
        "keys",
        "serve",
        "chat",
        "mcp",
        "audit",
        "setup",
        "config",
        "completion",
        "bench",
    }


@pytest.mark.parametrize("name", HERE)
def test_each_command_explains_itself(anamnos: Cli, name: str) -> None:
    text = anamnos.run(name, "--help").stdout
    assert cli.lazy[name].help in " ".join(text.split())
    if name != "bench":
        assert len(cli.lazy[name].help) <= 60


def test_every_option_has_help() -> None:
    silent = [
        f"{name} {param.opts[0]}"
        for name, command in all_commands()
        for param in command.params
        if isinstance(param, click.Option) and not param.help
    ]
    assert silent == []


def test_every_command_but_those_without_a_vault_takes_vault_and_json() -> None:
    without = {"anamnos", "anamnos config", "anamnos completion"}
    for name, command in all_commands():
        options = {opt for param in command.params for opt in param.opts}
        if name not in without and not isinstance(command, click.Group) and not name.startswith("anamnos bench"):
            assert {"--vault", "--json"} <= options, name


def test_version(anamnos: Cli) -> None:
    assert package.__version__ in anamnos.run("--version").stdout


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(word: str) -> None:
    code = NO_HEAVY_IMPORT.format(path=package.__path__[0], word=word)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_command_that_does_not_exist(anamnos: Cli) -> None:
    assert "No such command" in anamnos.run("remember", code=2).stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(anamnos: Cli, shell: str) -> None:
    script = anamnos.run("completion", shell).stdout
    assert "_ANAMNOS_COMPLETE" in script
    assert len(script) > 200


def test_completion_offers_commands_with_their_help() -> None:
    offered = {item.value: item.help for item in cli.shell_complete(click.Context(cli), "re")}
    assert offered == {name: cli.lazy[name].help for name in ("resolve", "restore", "rebuild-index", "reembed")}
