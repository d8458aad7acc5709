"""``anamnos bundle``: memories made to be handed on, and those that others made."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from anamnos.cli.context import Target, command, must_be_interactive, print_json
from anamnos.cli.lazy import Context
from anamnos.cli.render import console, pairs, safe, size, table
from anamnos.cube import Substrate, utc_now
from anamnos.errors import InvalidInput

if TYPE_CHECKING:
    from anamnos.cube import Scope
    from anamnos.system.bundles.format import Manifest
    from anamnos.system.bundles.installed import Installed

_PATH = click.Path(path_type=Path)


class _Group(click.Group):
    context_class = Context


@click.group("bundle", cls=_Group)
def bundle() -> None:
    """Make, sign, share and install bundles of memories."""


@command("create")
@click.argument("path", type=_PATH)
@click.option("--name", required=True, help="What the bundle is called: a-z, 0-9, dot, underscore, hyphen.")
@click.option("--version", "number", default="1", show_default=True, help="Numbers with dots.")
@click.option("--description", default="", help="What is in it.")
@click.option("--licence", default="", help="What others may do with it.")
@click.option("--substrate", "substrates", multiple=True, type=click.Choice(list(Substrate)), help="Only these.")
@click.option("--key", type=_PATH, help="File of the private key to sign with.")
@click.option("--audit", is_flag=True, help="Add what the audit holds of these memories.")
@click.option("--redact", is_flag=True, help="Write addresses, numbers and keys as labels.")
@click.option("--all", "everything", is_flag=True, help="The memories of everybody.")
def create(
    target: Target,
    path: Path,
    name: str,
    number: str,
    description: str,
    licence: str,
    substrates: tuple[str, ...],
    key: Path | None,
    audit: bool,
    redact: bool,
    everything: bool,
) -> None:
    """Write memories with all their versions to a bundle.

    PATH is a new folder, or a new file if its name ends in .zip.

    \b
    Example:
      anamnos bundle create harbour.zip --name harbour --key mine.key --user ann
    """
    scope = None if everything else _named(target, "whose memories the bundle is made of")
    with target.open() as memory:
        manifest = memory.bundles.create(
            path,
            scope,
            name=name,
            version=number,
            description=description,
            licence=licence,
            substrates=substrates or tuple(Substrate),
            key=key,
            audit=audit,
            redact=redact,
        )
    _show(target, manifest)


@command("verify", scope=False, embedder=False)
@click.argument("path", type=_PATH)
@click.option("--signer", metavar="KEY", help="The public key, or its file, that it must be signed by.")
def verify(target: Target, path: Path, signer: str | None) -> None:
    """Check every part of a bundle and show what it says of itself.

    \b
    Example:
      anamnos bundle verify harbour.zip --signer ann.pub
    """
    from anamnos.system.bundles.reading import open_bundle

    with open_bundle(path, signer=signer) as opened:
        opened.cubes(opened.manifest.embedder)
        _show(target, opened.manifest)
    if not target.as_json:
        console().print(Text("All parts of the bundle agree.", style="green"))


@command("load", scope=False)
@click.argument("path", type=_PATH)
@click.option(
    "--conflict",
    type=click.Choice(["skip", "overwrite", "branch"]),
    default="skip",
    show_default=True,
    help="Where a memory is here and says something else: keep ours, put theirs in its place, or behind it.",
)
@click.option("--signer", metavar="KEY", help="The public key, or its file, that it must be signed by.")
@click.option("--principal", "principals", multiple=True, metavar="THERE=HERE", help="Who a reader or writer is here.")
@click.option("--skip-activation", is_flag=True, help="Leave out activation memory.")
@click.option("--trust", type=float, default=1.0, show_default=True, help="The most that its memories are trusted.")
def load(
    target: Target,
    path: Path,
    conflict: str,
    signer: str | None,
    principals: tuple[str, ...],
    skip_activation: bool,
    trust: float,
) -> None:
    """Make the memories of a bundle the vault's own, all or nothing.

    They stay whose they are: what was made of ann's memories is found with --user ann.

    \b
    Example:
      anamnos bundle load ann.zip --conflict branch
    """
    names = dict(_pair(text) for text in principals)
    with target.open(create=True) as memory:
        receipt = memory.bundles.load(
            path,
            conflict=conflict,  # type: ignore[arg-type]  # click has checked it
            signer=signer,
            principals=names,
            skip_activation=skip_activation,
            trust=trust,
        )
    if target.as_json:
        print_json(receipt.to_dict())
    else:
        counts = ", ".join(f"{receipt.count(o):,} {o}" for o in ("added", "updated", "unchanged", "deleted"))
        console().print(Text(counts))


_WHOSE = click.option("--everybody", is_flag=True, help="Join the searches of everybody.")
_WEIGHT = click.option(
    "--weight", type=float, default=0.8, show_default=True, help="How much its hits count beside one's own."
)
_TRUST = click.option("--trust", type=float, help="The most that it is trusted; 0.8 with --signer, else 0.5.")


@command("install")
@click.argument("path")
@click.option("--signer", metavar="KEY", help="The public key, or its file, that it must be signed by.")
@_WHOSE
@_WEIGHT
@_TRUST
def install(target: Target, path: str, signer: str | None, everybody: bool, weight: float, trust: float | None) -> None:
    """Install a bundle beside the memories of the vault.

    Its memories join the searches of the user who is named, cannot be changed, and go with: anamnos bundle uninstall

    \b
    Example:
      anamnos bundle install harbour.zip --signer ann.pub --user ben
    """
    into = None if everybody else _named(target, "whose searches the bundle joins", "--everybody")
    with target.open(create=True) as memory:
        installed = memory.bundles.install(path, signer=signer, into=into, weight=weight, trust=trust)
    _show_installed(target, installed)


@command("subscribe")
@click.argument("location")
@click.argument("name")
@click.option("--version", "number", help="Stay at this version; without it, the newest, and what comes after it.")
@click.option("--signer", metavar="KEY", help="The public key, or its file, that it must be signed by.")
@_WHOSE
@_WEIGHT
@_TRUST
def subscribe(
    target: Target,
    location: str,
    name: str,
    number: str | None,
    signer: str | None,
    everybody: bool,
    weight: float,
    trust: float | None,
) -> None:
    """Install a bundle from a hub, and get its new versions.

    LOCATION is a folder that somebody publishes in, or the address of one.

    \b
    Example:
      anamnos bundle subscribe https://example.org/memories harbour --user ben
    """
    into = None if everybody else _named(target, "whose searches the bundle joins", "--everybody")
    with target.open(create=True) as memory:
        installed = memory.bundles.install(
            location, name, version=number, signer=signer, into=into, weight=weight, trust=trust
        )
    _show_installed(target, installed)


@command("list", scope=False)
def list_(target: Target) -> None:
    """Show the bundles that are installed.

    \b
    Example:
      anamnos bundle list
    """
    with target.open() as memory:
        installed = memory.bundles.installed()
    if target.as_json:
        print_json([asdict(one) for one in installed])
        return
    if not installed:
        console().print(Text("No bundle is installed.", style="dim"))
        return
    out = table("bundle", "version", "memories", "signed by", "from", right=("memories",), wide="from")
    for one in installed:
        pinned = " (stays)" if one.pinned else ""
        source = _text(one.location or "a file")
        out.add_row(one.name, f"{one.version}{pinned}", f"{one.memories:,}", _by(one.signer), source)
    console().print(out)


@command("update", scope=False)
def update(target: Target) -> None:
    """Bring installed bundles up to date.

    Newer versions take the place of older ones; what was revoked is erased.

    \b
    Example:
      anamnos bundle update
    """
    with target.open() as memory:
        done = memory.bundles.update()
    if target.as_json:
        print_json([asdict(one) for one in done])
        return
    for one in done:
        why = f": {safe(one.reason)}" if one.reason else ""
        console().print(Text(one.outcome, style="dim" if one.outcome == "current" else "green"), end=" ")
        console().print(Text(f"{one.name} {one.version}{why}"))
    if not done:
        console().print(Text("No bundle from a hub is installed.", style="dim"))


@command("uninstall", scope=False)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def uninstall(target: Target, name: str, yes: bool) -> None:
    """Erase the memories of an installed bundle.

    \b
    Example:
      anamnos bundle uninstall harbour
    """
    if not yes:
        must_be_interactive(yes)
        click.confirm(f"Erase the memories of the bundle {safe(name)}?", abort=True, err=True)
    with target.open() as memory:
        receipt = memory.bundles.uninstall(name)
    if target.as_json:
        print_json(receipt.to_dict())
    else:
        console().print(Text(f"erased {receipt.count('deleted'):,} memories of {safe(name)}"))


@command("publish", scope=False, embedder=False)
@click.argument("path", type=_PATH)
@click.argument("folder", type=_PATH)
def publish(target: Target, path: Path, folder: Path) -> None:
    """Put a bundle into a hub's folder.

    Others subscribe to the folder, or to the address at which a web server shows it.

    \b
    Example:
      anamnos bundle publish harbour.zip /srv/www/memories
    """
    from anamnos.system.bundles import hub

    _show(target, hub.publish(path, folder, utc_now()))


@command("revoke", scope=False, embedder=False)
@click.argument("folder", type=_PATH)
@click.argument("name")
@click.option("--version", "number", help="Only this version; without it, all of them.")
@click.option("--reason", required=True, help="Why; those who have it installed are told.")
def revoke(target: Target, folder: Path, name: str, number: str | None, reason: str) -> None:
    """Take a published bundle back.

    Its file is removed; who has it installed loses its memories at the next update.

    \b
    Example:
      anamnos bundle revoke /srv/www/memories harbour --version 1.2 --reason "wrong hours"
    """
    from anamnos.system.bundles import hub

    gone = hub.revoke(folder, name, number, reason)
    if target.as_json:
        print_json({"name": name, "versions": gone, "reason": reason})
    else:
        console().print(Text(f"revoked {safe(name)} {', '.join(gone)}"))


@command("browse", scope=False, embedder=False)
@click.argument("location")
def browse(target: Target, location: str) -> None:
    """Show what a hub has.

    LOCATION is a folder that somebody publishes in, or the address of one.

    \b
    Example:
      anamnos bundle browse https://example.org/memories
    """
    from anamnos.system.bundles import hub

    found = hub.published(location)
    if target.as_json:
        print_json([asdict(one) for one in found])
        return
    out = table("bundle", "version", "size", "signed by", "licence", "about", right=("size",), wide="about")
    for one in found:
        about = f"revoked: {one.revoked}" if one.revoked is not None else one.description
        out.add_row(one.name, one.version, size(one.size_bytes), *map(_text, (_by(one.signer), one.licence, about)))
    console().print(out)


@command("keygen", scope=False, embedder=False)
@click.argument("path", type=_PATH)
def keygen(target: Target, path: Path) -> None:
    """Make a pair of keys to sign bundles with.

    Writes PATH.key, to be kept secret, and PATH.pub, to be given to those who install.

    \b
    Example:
      anamnos bundle keygen ann
    """
    from anamnos.system.bundles.signing import make_keys

    public = make_keys(path)
    if target.as_json:
        print_json({"private": f"{path}.key", "public": f"{path}.pub", "signer": public})
    else:
        console().print(pairs([("secret", f"{path}.key"), ("public", f"{path}.pub"), ("signer", public)]))


for _each in (create, verify, load, install, subscribe, list_, update, uninstall, publish, browse, revoke, keygen):
    bundle.add_command(_each)


def _named(target: Target, what: str, otherwise: str = "--all") -> Scope:
    scope = target.scope_or_none()
    if scope is None:
        raise InvalidInput(f"Nobody is named {what}.", hint=f"Say --user NAME, or {otherwise}.")
    return scope


def _by(signer: str | None) -> str:
    return f"{signer[:16]}…" if signer else "nobody"


def _text(words: str) -> Text:
    return Text(safe(words))


def _pair(text: str) -> tuple[str, str]:
    there, found, here = text.partition("=")
    if not found or not there or not here:
        raise InvalidInput(f"--principal must be THERE=HERE, got {text!r}.")
    return there, here


def _show(target: Target, manifest: Manifest) -> None:
    if target.as_json:
        print_json(manifest.to_dict())
        return
    rows = [
        ("bundle", f"{manifest.name} {manifest.version}"),
        ("signed by", manifest.signer or "nobody: it may come from anybody"),
        ("made", manifest.created_at.isoformat(sep=" ", timespec="seconds")),
        ("of", "everybody" if manifest.scope is None else str(manifest.scope)),
        ("memories", f"{manifest.memories:,} in {manifest.versions:,} versions, {manifest.blobs:,} blobs"),
        ("kinds", ", ".join(manifest.substrates) or "none"),
        ("vectors", f"{manifest.embedder.id} ({manifest.embedder.dim} numbers)"),
        ("readers", ", ".join(manifest.principals)),
        ("licence", manifest.licence),
        ("about", manifest.description),
        ("size", size(sum(part.size_bytes for part in manifest.parts.values()))),
        ("id", manifest.id),
    ]
    console().print(pairs([row for row in rows if row[1]]))


def _show_installed(target: Target, one: Installed) -> None:
    if target.as_json:
        print_json(asdict(one))
    else:
        by = f"signed by {one.signer}" if one.signer else "signed by nobody"
        console().print(Text(f"installed {one.name} {one.version}: {one.memories:,} memories, {by}"))
