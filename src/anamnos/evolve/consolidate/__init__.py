"""Consolidation: what belongs together, what repeats, what several facts come to. Each file proposes, none writes."""

from __future__ import annotations

from anamnos.errors import ConfigError
from anamnos.evolve.consolidate.base import Fading, Worder
from anamnos.evolve.consolidate.wording_rules import RuleWorder
from anamnos.llm.base import LanguageModel


def resolve_worder(name: str, llm: LanguageModel | None) -> Worder:
    """Return what puts topics and reflections into words. Raises: ConfigError for an unknown name, or without a model.

    name  ``rules``; or ``llm``, with the rules where it fails
    """
    if name == "rules":
        return RuleWorder()
    if name != "llm":
        raise ConfigError(f"There is no wording {name!r}.", hint="Use: rules, llm.")
    if llm is None:
        raise ConfigError("wording is llm, but there is no language model.", hint="Set ANAMNOS_LLM_URL.")
    from anamnos.evolve.consolidate.wording_llm import LlmWorder

    return LlmWorder(llm)


__all__ = ["Fading", "Worder", "resolve_worder"]
