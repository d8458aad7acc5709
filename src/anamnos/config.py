"""Settings: explicit arguments, then the environment, then the vault's ``anamnos.toml``, then the defaults.

Read once when a vault is opened, handed down from there, never global. The only reader of the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import platformdirs

from anamnos.errors import ConfigError

PREFIX = "ANAMNOS_"
FILE_NAME = "anamnos.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set. Each name is an argument, ``ANAMNOS_<NAME>`` in the environment, a key in ``anamnos.toml``.

    store            empty: the vault's own SQLite file; else the address of a server, ``postgresql://…``
    index            ``auto``, ``exact``, ``spann``, ``lsh``, ``pgvector`` or ``milvus``; ``auto``: exact, and spann
                     above the size from which that is faster
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
    recipe: str = "zsum-v3"
    reranker: str = ""
    key_file: str = ""
    passphrase: str = field(default="", repr=False)
    max_text_chars: int = 1_000_000
    busy_timeout_s: float = 60.0
    batch_size: int = 256


def default_vault() -> Path:
    """Return ``ANAMNOS_VAULT``, else a folder of the user's data that outlives upgrades of this package."""
    named = os.environ.get(f"{PREFIX}VAULT")
    return Path(named) if named else platformdirs.user_data_path("anamnos", appauthor=False) / "vault"


def load_settings(
    vault: Path, explicit: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings for a vault. Raises: ConfigError naming the setting, its source and its value."""
    environ = os.environ if environ is None else environ
    names = [f.name for f in fields(Settings)]
    settings = Settings()
    from_env = {name: environ[PREFIX + name.upper()] for name in names if environ.get(PREFIX + name.upper())}
    given = {name: value for name, value in (explicit or {}).items() if value is not None}
    from_file = _from_file(vault / FILE_NAME)
    if from_file.get("passphrase"):
        raise ConfigError(
            f"{vault / FILE_NAME} holds the passphrase, beside what it protects.",
            hint="Take it out of there, and set ANAMNOS_PASSPHRASE or key_file.",
        )
    for source, values in (
        (str(vault / FILE_NAME), from_file),
        ("the environment", from_env),
    ):
        settings = replace(settings, **{name: _convert(name, value, source) for name, value in values.items()})
    return replace(settings, **{name: _convert(name, value, "the call") for name, value in given.items()})


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}.", hint="Make the file readable.") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is not valid TOML: {exc}.", hint="Mend or remove the file.") from exc


def _convert(name: str, value: Any, source: str) -> Any:
    known: dict[str, type[Any]] = {f.name: type(f.default) for f in fields(Settings)}
    if name not in known:
        raise ConfigError(f"{source} sets {name!r}, which is no setting.", hint=f"Settings: {', '.join(known)}.")
    kind = known[name]
    try:
        converted = kind(value)
    except (TypeError, ValueError) as exc:
        raise ConfigError(f"{source} sets {name} to {value!r}, which is no {kind.__name__}.") from exc
    if kind is not str and not converted > 0:
        raise ConfigError(f"{source} sets {name} to {value!r}; it must be above 0.")
    return converted
