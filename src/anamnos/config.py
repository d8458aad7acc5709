"""Settings: explicit arguments, then the environment, then the vault's ``anamnos.toml``, then the defaults.

Read once when a vault is opened, handed down from there, never global. The only reader of the environment.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import platformdirs

from anamnos.errors import ConfigError

PREFIX = "ANAMNOS_"
FILE_NAME = "anamnos.toml"
SERVER_PREFIX = "ANAMNOS_SERVER_"
SERVER_TABLE = "server"


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set. Each name is an argument, ``ANAMNOS_<NAME>`` in the environment, a key in ``anamnos.toml``.

    store            empty: the vault's own SQLite file; else the address of a server, ``postgresql://…``
    index            ``auto``, ``exact``, ``spann``, ``lsh``, ``sparsey``, ``pgvector`` or ``milvus``; ``auto``: exact,
                     and spann above the size from which that is faster
    index_url        address of the engine of ``pgvector`` or ``milvus``; empty: the store's own server
    index_memory_mb  how much memory the lists of ``spann`` may take; what is over stays on the disk
    embedder         ``auto``, ``minilm``, ``minilm-int8``, ``hashing``, ``openai:<model>@<url>``, ``st:<folder>``;
                     ``auto`` is the one that the vault remembers, else minilm if it is installed, else hashing
    model_dir        folder of the embedder's model; empty: the installed package
    embedder_api_key for an ``openai:`` embedder
    llm_url          optional language model: base address of an OpenAI-compatible service, or ``recorded:<file>``
    llm_model        its name there
    llm_api_key      for it
    extract          what to find in turns as they are written: ``off``, ``rules`` or ``llm``
    analyser         what reads questions: ``rules`` (English), or ``llm``, after the rules and in any language
    background       when slow work (``extract``) is done: ``off``: in the call; ``on``: by a thread of this process;
                     ``worker``: by ``anamnos worker``
    audit            what is entered: ``writes``, ``all`` (reads as well) or ``off``; refusals with either of the first
    sensitivity      ``on``: label e-mail addresses, phone and card numbers, keys … as they are written; ``off``
    trust            ``capped``: what is not trusted does not get the first places; ``off``: trust plays no part
    working          ``on``: keep a working memory per scope as searches come; ``off``
    novelty          what is done with a new text like one that its owner has: ``off``: nothing; ``link``: it is linked
                     with that; ``reinforce``: and a note that only repeats another is not stored, but that one is used
    tagging          ``auto``: give new memories the tags that are sure, learnt from tagged ones; ``off``
    codec            how saved states are packed: ``none``, ``zlib``, ``xz``, ``pc``, ever smaller and slower
    recipe           how to recall; see ``anamnos.recipes``
    reranker         folder of a cross-encoder (``model.onnx``, ``tokenizer.json``) that reads the best hits once more
    key_file         file with the key of an encrypted vault: 32 bytes, raw, in hex or in base64
    passphrase       instead of a key file; never in the vault's own ``anamnos.toml``
    max_text_chars   longest text of one memory
    busy_timeout_s   how long a write waits for other writers
    batch_size       memories embedded and written at a time when many come at once
    """

    store: str = field(default="", repr=False)  # it may hold a password
    index: str = "auto"
    index_url: str = field(default="", repr=False)
    index_memory_mb: int = 1_024
    embedder: str = "auto"
    model_dir: str = ""
    embedder_api_key: str = ""
    llm_url: str = ""
    llm_model: str = ""
    llm_api_key: str = ""
    extract: str = "off"
    analyser: str = "rules"
    background: str = "off"
    audit: str = "writes"
    sensitivity: str = "on"
    trust: str = "capped"
    working: str = "off"
    novelty: str = "off"
    tagging: str = "off"
    codec: str = "none"
    recipe: str = "zsum-v3"
    reranker: str = ""
    key_file: str = ""
    passphrase: str = field(default="", repr=False)
    max_text_chars: int = 1_000_000
    busy_timeout_s: float = 60.0
    batch_size: int = 256


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a vault is served. Each name is an option of ``anamnos serve`` and a key of the table ``[server]`` of
    ``anamnos.toml``; in the environment it is ``ANAMNOS_SERVER_<NAME>``.

    host             address to listen at; any but one of this machine needs keys or ``oidc_issuer``
    port             to listen at; 0: any that is free
    auth             ``keys``: who asks needs a key, or a token of ``oidc_issuer``; ``none``: everybody on this machine
                     may do everything
    cors             origins of other web pages that may use the server, with commas between; empty: none
    hosts            further names that the server is reached by, with commas between
    body_mb          longest body of a request, in MB
    ingest_mb        longest file that is ingested or imported, in MB
    body_timeout_s   how long the server waits for a body; one that comes steadily has longer
    rate_per_minute  requests of one caller in a minute; 0: any number
    ingest_hosts     hosts from which ``/v1/ingest/url`` may fetch, with commas between: ``docs.example.org``,
                     ``*.example.org``, ``example.org:8443``; one of a private network with it: ``wiki=10.0.0.0/8``
    backups          folder for backups that are asked for over the network; empty: beside the vault
    metrics_open     ``on``: ``/metrics`` needs no key; ``off``
    threads          verbs that run at once
    oidc_issuer      address of an OpenID Connect provider whose tokens are taken; empty: none
    oidc_audience    what the tokens must be made for
    oidc_jwks_url    where its public keys are; empty: where the provider says
    oidc_tenant_claim  claim of a token that names the tenants; empty: all are of the tenant ``default``
    otel             ``on``: send traces to the collector that the variables ``OTEL_…`` name; ``off``
    web              ``on``: serve the page at ``/``; ``off``
    mcp              ``on``: serve MCP at ``/mcp``; ``off``
    """

    host: str = "127.0.0.1"
    port: int = 8787
    auth: str = "keys"
    cors: str = ""
    hosts: str = ""
    body_mb: float = 64.0
    ingest_mb: float = 512.0
    body_timeout_s: float = 30.0
    rate_per_minute: int = 600
    ingest_hosts: str = ""
    backups: str = ""
    metrics_open: str = "off"
    threads: int = 8
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_jwks_url: str = ""
    oidc_tenant_claim: str = "tenant"
    otel: str = "off"
    web: str = "on"
    mcp: str = "off"


_ON_OFF = ("on", "off")
_SERVER_CHOICES = {
    "auth": ("keys", "none"),
    **dict.fromkeys(("metrics_open", "otel", "web", "mcp"), _ON_OFF),
}
_MAY_BE_ZERO = ("port", "rate_per_minute")
_S = TypeVar("_S", Settings, ServerSettings)


def default_vault() -> Path:
    """Return ``ANAMNOS_VAULT``, else a folder of the user's data that outlives upgrades of this package."""
    named = os.environ.get(f"{PREFIX}VAULT")
    return Path(named) if named else platformdirs.user_data_path("anamnos", appauthor=False) / "vault"


def load_settings(
    vault: Path, explicit: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings for a vault. Raises: ConfigError naming the setting, its source and its value."""
    from_file = _from_file(vault / FILE_NAME)
    from_file.pop(SERVER_TABLE, None)
    if from_file.get("passphrase"):
        raise ConfigError(
            f"{vault / FILE_NAME} holds the passphrase, beside what it protects.",
            hint="Take it out of there, and set ANAMNOS_PASSPHRASE or key_file.",
        )
    return _settled(Settings(), vault, from_file, PREFIX, explicit, environ)


def load_server_settings(
    vault: Path, explicit: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> ServerSettings:
    """Return how a vault is to be served. Raises: ConfigError naming the setting, its source and its value."""
    from_file = _from_file(vault / FILE_NAME).get(SERVER_TABLE, {})
    if not isinstance(from_file, dict):
        raise ConfigError(f"{SERVER_TABLE} in {vault / FILE_NAME} is no table.", hint=f"Write [{SERVER_TABLE}].")
    settings = _settled(ServerSettings(), vault, from_file, SERVER_PREFIX, explicit, environ)
    for name, known in _SERVER_CHOICES.items():
        if (value := getattr(settings, name)) not in known:
            raise ConfigError(f"The server setting {name} cannot be {value!r}.", hint=f"Use: {', '.join(known)}.")
    if settings.port > 65_535:
        raise ConfigError(f"There is no port {settings.port}.", hint="Use 1 to 65535, or 0 for any that is free.")
    if settings.oidc_issuer and not settings.oidc_audience:
        raise ConfigError("oidc_issuer is set without oidc_audience.", hint="Say what its tokens must be made for.")
    if settings.auth == "none" and (settings.cors or settings.oidc_issuer):
        raise ConfigError(
            "auth is none, but cors or oidc_issuer is set.",
            hint="Leave auth at keys: else any page of those origins could do everything.",
        )
    return settings


def listed(setting: str) -> tuple[str, ...]:
    """Return the parts of a setting that has commas between them.

    >>> listed("a.example, b.example,")
    ('a.example', 'b.example')
    """
    return tuple(filter(None, (part.strip() for part in setting.split(","))))


def is_loopback(host: str) -> bool:
    """Return whether an address or name is of this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_bind(settings: ServerSettings, keys_exist: bool) -> None:
    """Raise ConfigError if the server could be reached from elsewhere, and nobody would be asked for a key."""
    if is_loopback(settings.host):
        return
    if settings.auth == "none":
        raise ConfigError(
            f"Without auth the server may not listen at {settings.host!r}, which others reach.",
            hint="Leave auth at keys, or host at 127.0.0.1.",
        )
    if not keys_exist and not settings.oidc_issuer:
        raise ConfigError(
            f"The server is to listen at {settings.host!r}, but there is no key that would open it.",
            hint="Make one first: anamnos keys create NAME",
        )


def _settled(
    settings: _S,
    vault: Path,
    from_file: Mapping[str, Any],
    prefix: str,
    explicit: Mapping[str, Any] | None,
    environ: Mapping[str, str] | None,
) -> _S:
    """Return settings with what the file, the environment and the call say, the last of these first."""
    environ = os.environ if environ is None else environ
    names = [f.name for f in fields(settings)]
    from_env = {name: environ[prefix + name.upper()] for name in names if environ.get(prefix + name.upper())}
    given = {name: value for name, value in (explicit or {}).items() if value is not None}
    for source, values in (
        (str(vault / FILE_NAME), from_file),
        ("the environment", from_env),
        ("the call", given),
    ):
        settings = replace(
            settings, **{name: _convert(settings, name, value, source) for name, value in values.items()}
        )
    return settings


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}.", hint="Make the file readable.") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is not valid TOML: {exc}.", hint="Mend or remove the file.") from exc


def _convert(settings: Settings | ServerSettings, name: str, value: Any, source: str) -> Any:
    known: dict[str, type[Any]] = {f.name: type(f.default) for f in fields(settings)}
    if name not in known:
        raise ConfigError(f"{source} sets {name!r}, which is no setting.", hint=f"Settings: {', '.join(known)}.")
    kind = known[name]
    try:
        converted = kind(value)
    except (TypeError, ValueError) as exc:
        raise ConfigError(f"{source} sets {name} to {value!r}, which is no {kind.__name__}.") from exc
    if kind is not str and not (converted > 0 or (converted == 0 and name in _MAY_BE_ZERO)):
        raise ConfigError(f"{source} sets {name} to {value!r}; it must be above 0.")
    return converted
