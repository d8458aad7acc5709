"""Publishing, subscribing, updating and revoking, through a folder and through a web server on this machine."""

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from anamnos import Memory, Scope
from anamnos.errors import BadSignature, Conflict, InvalidInput, LimitExceeded, MigrationNeeded, NotFound, ProviderError
from anamnos.system.bundles import hub
from anamnos.system.bundles.of_vault import Updated
from anamnos.system.bundles.signing import make_keys
from anamnos.testing import FakeClock, FakeEmbedder

ANN, TEAM = Scope(user="ann"), Scope(agent="team")
NOW = FakeClock()()


def opened(folder: Path) -> Memory:
    return Memory(folder, embedder=FakeEmbedder(), clock=FakeClock())


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Memory]:
    with opened(tmp_path / "writer") as memory:
        memory.add("The harbour opens at six.", TEAM)
        yield memory


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Memory]:
    with opened(tmp_path / "reader") as memory:
        memory.add("my own words", ANN)
        yield memory


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


@pytest.fixture(params=["folder", "http"])
def location(request: pytest.FixtureRequest, site: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(site)
        return
    pytest.importorskip("httpx2", reason="needs the extra server")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    site.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def publish(memory: Memory, site: Path, version: str, **more: Any) -> str:
    path = site.parent / f"harbour-{version}.zip"
    memory.bundles.create(path, TEAM, name="harbour", version=version, **more)
    return hub.publish(path, site, NOW).id


def known(memory: Memory) -> list[str]:
    return sorted(cube.text for cube, _, _ in memory.vault.store.export() if cube.scope.tenant == "bundle:harbour")


def test_publish_subscribe_update_revoke(writer: Memory, reader: Memory, site: Path, location: str) -> None:
    publish(writer, site, "1.9")
    installed = reader.bundles.install(location, "harbour", into=ANN, trust=1.0)
    assert (installed.version, installed.pinned) == ("1.9", False)
    assert reader.search("When does the harbour open?", ANN, top_k=2)[0].content == "The harbour opens at six."
    assert reader.bundles.update() == [Updated("harbour", "current", "1.9")]

    (cube,) = writer.list(TEAM)
    writer.update(cube.id, TEAM, content="The harbour opens at seven.")
    writer.add("The ferry goes at noon.", TEAM)
    publish(writer, site, "1.10")
    assert reader.bundles.update() == [Updated("harbour", "updated", "1.10")]
    assert known(reader) == ["The ferry goes at noon.", "The harbour opens at seven."]
    assert b"opens at six" not in b"".join(p.read_bytes() for p in reader.vault.folder.rglob("*") if p.is_file())

    assert hub.revoke(site, "harbour", "1.10", "wrong hours") == ["1.10"]
    assert reader.bundles.update() == [Updated("harbour", "revoked", "1.10", "wrong hours")]
    assert (known(reader), reader.bundles.installed(), reader.verify()) == ([], [], [])
    assert reader.bundles.install(location, "harbour").version == "1.9", "the newest that is not revoked"


def test_a_pinned_version_stays(writer: Memory, reader: Memory, site: Path, location: str) -> None:
    publish(writer, site, "1")
    publish(writer, site, "2")
    assert reader.bundles.install(location, "harbour", version="1").pinned
    assert reader.bundles.update() == [Updated("harbour", "current", "1")]
    hub.revoke(site, "harbour", "1", "old")
    assert reader.bundles.update() == [Updated("harbour", "revoked", "1", "old")]


def test_a_revoked_version_is_replaced_by_a_newer_one(writer: Memory, reader: Memory, site: Path) -> None:
    publish(writer, site, "1")
    reader.bundles.install(str(site), "harbour")
    hub.revoke(site, "harbour", "1", "wrong")
    publish(writer, site, "2")
    assert reader.bundles.update() == [Updated("harbour", "updated", "2")]


def test_only_the_same_signer_brings_updates(tmp_path: Path, writer: Memory, reader: Memory, site: Path) -> None:
    pytest.importorskip("cryptography")
    ours = make_keys(tmp_path / "ours")
    publish(writer, site, "1", key=tmp_path / "ours.key")
    assert reader.bundles.install(str(site), "harbour", signer=ours).signer == ours
    publish(writer, site, "2")
    with pytest.raises(BadSignature, match="not signed"):
        reader.bundles.update()
    assert [one.version for one in reader.bundles.installed()] == ["1"]


def test_one_that_fails_does_not_keep_the_others_from_being_taken_back(
    tmp_path: Path, writer: Memory, reader: Memory, site: Path
) -> None:
    writer.bundles.create(tmp_path / "a.zip", TEAM, name="anchor")
    hub.publish(tmp_path / "a.zip", tmp_path / "gone", NOW)
    publish(writer, site, "1")
    reader.bundles.install(str(tmp_path / "gone"), "anchor")
    reader.bundles.install(str(site), "harbour")
    (tmp_path / "gone" / "index.json").unlink()
    hub.revoke(site, "harbour", None, "wrong")
    with pytest.raises(NotFound, match="gone"):
        reader.bundles.update()
    assert [one.name for one in reader.bundles.installed()] == ["anchor"]


def test_what_is_published_is_described(writer: Memory, site: Path, location: str) -> None:
    publish(writer, site, "1", description="when it opens", licence="CC0-1.0")
    (one,) = hub.published(location)
    assert (one.name, one.description, one.licence, one.signer) == ("harbour", "when it opens", "CC0-1.0", None)
    with pytest.raises(NotFound) as refused:
        hub.find(location, "ferry")
    assert refused.value.hint == "There are: harbour."


def test_publishing_twice_and_otherwise(writer: Memory, site: Path) -> None:
    publish(writer, site, "1")
    hub.publish(site.parent / "harbour-1.zip", site, NOW)
    writer.add("more", TEAM)
    writer.bundles.create(site.parent / "folder", TEAM, name="harbour", version="1")
    with pytest.raises(Conflict, match="with other content"):
        hub.publish(site.parent / "folder", site, NOW)
    hub.revoke(site, "harbour", None, "all wrong")
    assert list((site / "bundles").iterdir()) == []
    with pytest.raises(Conflict, match="was revoked"):
        hub.publish(site.parent / "harbour-1.zip", site, NOW)
    assert [(one.version, one.revoked) for one in hub.published(str(site))] == [("1", "all wrong")]


def test_what_is_not_there(tmp_path: Path, writer: Memory, reader: Memory, site: Path, location: str) -> None:
    with pytest.raises(NotFound):
        reader.bundles.install(location, "harbour")
    publish(writer, site, "1")
    for name, version in (("other", None), ("harbour", "2")):
        with pytest.raises(NotFound):
            reader.bundles.install(location, name, version=version)
    hub.revoke(site, "harbour", "1", "wrong")
    with pytest.raises(NotFound, match="was revoked: wrong"):
        reader.bundles.install(location, "harbour", version="1")
    with pytest.raises(NotFound):
        hub.revoke(site, "harbour", "9", "x")
    with pytest.raises(NotFound):
        hub.revoke(tmp_path / "nowhere", "harbour", None, "x")
    with pytest.raises(NotFound):
        reader.bundles.uninstall("harbour")
    assert reader.bundles.installed() == []


def test_a_file_that_was_changed_at_the_hub_is_refused(
    writer: Memory, reader: Memory, site: Path, location: str
) -> None:
    publish(writer, site, "1")
    (file,) = (site / "bundles").iterdir()
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InvalidInput, match="not what its index says"):
        reader.bundles.install(location, "harbour")
    file.write_bytes(data + b"x")
    with pytest.raises(LimitExceeded, match="larger than"):
        reader.bundles.install(location, "harbour")
    assert known(reader) == []


def test_a_bundle_under_another_name(writer: Memory, reader: Memory, site: Path) -> None:
    publish(writer, site, "1")
    index = json.loads((site / "index.json").read_text("utf-8"))
    index["bundles"] = {"ferry": index["bundles"]["harbour"]}
    (site / "index.json").write_text(json.dumps(index), "utf-8")
    with pytest.raises(InvalidInput, match="calls itself harbour"):
        reader.bundles.install(str(site), "ferry")


INDEX_OF_ONE = (
    '{"anamnos_hub": 1, "bundles": {"a": {"1": {"sha256": "'
    + "0" * 64
    + '", "size_bytes": 1, "description": "", "licence": "", "signer": %s, "revoked": %s}}}}'
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("nothing", InvalidInput),
        ("[]", InvalidInput),
        ('{"anamnos_hub": 1, "bundles": {"a": {"x": {}}}}', InvalidInput),
        ('{"anamnos_hub": 1, "bundles": {"a": {"1": {"sha256": "../x", "size_bytes": 1}}}}', InvalidInput),
        ('{"anamnos_hub": 1, "bundles": {"../a": {}}}', InvalidInput),
        (INDEX_OF_ONE % ("null", "5"), InvalidInput),
        (INDEX_OF_ONE % ("[]", "null"), InvalidInput),
        ('{"anamnos_hub": 9, "bundles": {}}', MigrationNeeded),
    ],
)
def test_an_index_that_is_none(reader: Memory, site: Path, text: str, kind: type[Exception]) -> None:
    site.mkdir()
    (site / "index.json").write_text(text, "utf-8")
    with pytest.raises(kind):
        reader.bundles.install(str(site), "a")


def test_a_hub_that_is_gone_says_so_and_leaves_what_is_installed(writer: Memory, reader: Memory, site: Path) -> None:
    publish(writer, site, "1")
    reader.bundles.install(str(site), "harbour")
    (site / "index.json").unlink()
    with pytest.raises(NotFound):
        reader.bundles.update()
    assert known(reader) == ["The harbour opens at six."]
    pytest.importorskip("httpx2")
    with pytest.raises(ProviderError, match="did not answer"):
        reader.bundles.install("http://127.0.0.1:9/hub", "harbour")
