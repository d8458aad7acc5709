"""``Memory``: a vault, opened."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Self, cast

from anamnos.config import Settings, default_vault, load_settings
from anamnos.cube import Clock, IdSource, Scope, utc_now, uuid7_source
from anamnos.embed import spec_of
from anamnos.embed.base import Embedder
from anamnos.errors import ConfigError
from anamnos.index.exact_resident import ResidentIndex
from anamnos.index.terms import TERMS_VERSION, TermReader
from anamnos.memory.core import MountedVault
from anamnos.memory.evolving import Evolving
from anamnos.memory.governing import Governing
from anamnos.memory.keeping import Keeping
from anamnos.memory.living import Living
from anamnos.memory.reading import Reading
from anamnos.memory.states import States
from anamnos.memory.tagging import Suggesting
from anamnos.recall.search import Recaller
from anamnos.recipes import RECIPES
from anamnos.store.base import Store
from anamnos.store.keys import FILE_NAME as KEY_FILE
from anamnos.store.keys import user_key
from anamnos.system.bundles import Bundles, is_installed
from anamnos.system.codec import CODECS
from anamnos.system.governance.access import Principal
from anamnos.system.governance.audit import Audit
from anamnos.system.governance.guard import Guard
from anamnos.system.governance.guarded import guarded
from anamnos.system.governance.keys import Keys
from anamnos.system.governance.policies import Policies
from anamnos.system.mounts import Mounts
from anamnos.system.quotas import Quotas
from anamnos.system.scheduler import Jobs, users_of, verb_handlers
from anamnos.system.vault import Vault, store_at


class Memory(Suggesting, Evolving, Living, Governing, Reading, Keeping, States):
    """A vault, opened.

    vault     its folder; made if it is not there. None: ``ANAMNOS_VAULT``, else a folder of the user's data
    embedder  an Embedder, or a name as in ``Settings.embedder``; None: what the settings say
    settings  any field of ``Settings``, which goes before the environment and the vault's file
    clock, new_id  where times and ids come from; given ones make everything repeatable
    store     another engine for the truth than the vault's SQLite file, or its address as in ``Settings.store``
    principal  who asks: ``user:ann``, ``agent:tutor``; it sees and does what it may. None: the application itself
    purpose   what for; it stands in the audit
    Raises: UnknownPrincipal if the principal is not registered; ConfigError if the embedder is not the one that the
    vault was written with; StoreError and its kinds.

    Thread-safe; any number of processes may open one vault. Every verb takes the scope that it works in.

    bundles   memories made to be handed on, and those that others made: see ``anamnos.system.bundles``
    mounts    other vaults whose memories join searches: see ``anamnos.system.mounts``
    quotas    how much scopes may hold: see ``anamnos.system.quotas``
    policy    who may do what, and what must go when: see ``anamnos.system.governance.policies``
    keys      of applications that ask over a network: see ``anamnos.system.governance.keys``
    audit     who did what: see ``anamnos.system.governance.audit``
    jobs      what is to be done in the background: see ``anamnos.system.scheduler``
    """

    def __init__(
        self,
        vault: str | Path | None = None,
        *,
        embedder: Embedder | str | None = None,
        clock: Clock = utc_now,
        new_id: IdSource | None = None,
        store: Store | str | None = None,
        principal: str | Principal | None = None,
        purpose: str | None = None,
        **settings: Any,
    ) -> None:
        folder = Path(vault) if vault is not None else default_vault()
        named = embedder if isinstance(embedder, str) else None
        address = store if isinstance(store, str) else None
        self.settings: Settings = load_settings(folder, {**settings, "embedder": named, "store": address})
        self._check_settings()
        self._clock = clock
        self._new_id = new_id or uuid7_source()
        self._shared, self._known = False, {}
        self._reader = TermReader()
        key = user_key(self.settings.key_file, self.settings.passphrase)
        if store is None or isinstance(store, str):
            store = store_at(self.settings.store, busy_timeout_s=self.settings.busy_timeout_s)
        self.vault = Vault(folder, store=store, busy_timeout_s=self.settings.busy_timeout_s, key=key).open()
        try:
            self._serve(principal, purpose)
            self._use(self._resolve(None if isinstance(embedder, str) else embedder))
            self._keep_terms_current()
        except BaseException:
            self.vault.close()
            raise
        if self.settings.background == "on" and principal is None:
            self.jobs.start()

    def as_principal(self, principal: str | Principal, *, purpose: str | None = None) -> Memory:
        """Return this memory as a principal may use it. It shares files, index and embedder, so it costs little.

        principal  the name of one that is registered; or a ``Principal`` that the application vouches for
        Close it before this one; after ``reembed`` and ``calibrate`` make it anew. Raises: UnknownPrincipal,
        AccessDenied for a purpose that is not its own.
        """
        other = copy.copy(self)
        other._shared, other._known = True, {}
        other.vault = copy.copy(self.vault)
        other.vault.store = getattr(self.vault.store, "unguarded", self.vault.store)
        other._serve(principal, purpose)
        other._use(self.embedder, self._index)
        return other

    def _serve(self, principal: str | Principal | None, purpose: str | None) -> None:
        """Take who asks, and with it everything that depends on that."""
        vault, clock = self.vault, self._clock
        self.quotas = Quotas(vault.store, self._govern)
        self.bundles = Bundles(
            vault,
            info=lambda: self._info,
            derive=self._derived,
            keys=self._keys_to_import,
            write=self._write_bundle,
            clock=clock,
            require=self._govern,
            hides=lambda: self._guard.hides(),
            copied=lambda what, path: self._guard.copied(what, path),
        )
        self.mounts = Mounts(vault.store, self._mounted, self.bundles.installed, self._govern)
        given = principal if isinstance(principal, Principal) else None
        name = given.name if given is not None else cast("str | None", principal)
        watch = self.settings.audit, self.settings.sensitivity
        self._guard = Guard(vault.store, clock, name, purpose, *watch, given)
        vault.store = guarded(vault.store, self._guard)
        self._rule = self._guard.rule()
        self.policy = Policies(self._guard)
        self.keys = Keys(self._guard)
        self.audit = Audit(self._guard.store.ledger, self._guard.own_name)
        self.jobs = Jobs(self._guard.store.jobs, clock, verb_handlers(self, self._users), self._govern)

    def close(self) -> None:
        """Let go of the vault. Whatever was acknowledged is safe without it."""
        self.jobs.close()
        self._working.close()
        self.mounts.close()
        if not self._shared:
            self._index.close()
            self.vault.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check_settings(self) -> None:
        choices = {
            "recipe": tuple(RECIPES),
            "index": ("auto", "exact", "spann", "lsh", "sparsey", "pgvector", "milvus"),
            "extract": ("off", "rules", "llm"),
            "analyser": ("rules", "llm"),
            "background": ("off", "on", "worker"),
            "working": ("off", "on"),
            "novelty": ("off", "link", "reinforce"),
            "tagging": ("off", "auto"),
            "codec": CODECS,
            "trust": ("capped", "off"),
        }
        for name, known in choices.items():
            if (value := getattr(self.settings, name)) not in known:
                raise ConfigError(f"The setting {name} cannot be {value!r}.", hint=f"Use: {', '.join(known)}.")
            if value == "llm" and self._llm() is None:
                raise ConfigError(f"{name} is llm, but there is no language model.", hint="Set ANAMNOS_LLM_URL.")

    def _resolve(self, given: Embedder | None) -> Embedder:
        """Return the embedder to work with; refuse one that the vault's vectors are not of."""
        held, wanted = self.vault.store.embedder(), self.settings.embedder
        remembered = self.vault.store.setting(f"embedder:{held.id}") if held is not None else None
        name = remembered if wanted == "auto" and remembered else wanted
        embedder = given or self._named(name)
        if held is not None and held.id != embedder.id:
            raise ConfigError(
                f"This vault holds vectors of {held.id}, but the embedder is {embedder.id}: they cannot be compared.",
                hint="Leave the embedder out to use the vault's own, or change it for good with:"
                f" anamnos reembed --embedder {(given and spec_of(given)) or name}",
            )
        return embedder

    def _mounted(self, folder: Path) -> MountedVault:
        """Return another vault, opened for reading. Raises: ConfigError if it cannot be searched with this embedder."""
        key = user_key(self.settings.key_file, self.settings.passphrase)
        if not (folder / KEY_FILE).exists():
            key = None
        vault = Vault(folder, busy_timeout_s=self.settings.busy_timeout_s, key=key, read_only=True).open()
        try:
            held, terms = vault.store.embedder(), vault.store.setting("terms")
            if held != self._info or terms != TERMS_VERSION:
                raise ConfigError(
                    f"The vault {folder} has vectors of {held and held.id} and index terms {terms}; this one has"
                    f" {self._info.id} and {TERMS_VERSION}.",
                    hint=f"Bring it up to date there: anamnos reembed --embedder {spec_of(self.embedder) or 'NAME'}",
                )
            index = ResidentIndex(vault.store, self._info)
            recaller = Recaller(vault.store, index, self.embedder, self._reader, self._recaller.recipe)
            return MountedVault(vault, recaller)
        except BaseException:
            vault.close()
            raise

    def _users(self) -> list[Scope]:
        return users_of(scope for scope in self.vault.store.scopes() if not is_installed(scope))

    def _keep_terms_current(self) -> None:
        known = self.vault.store.setting("terms")
        if known not in (None, TERMS_VERSION):
            self._rederive_terms()
