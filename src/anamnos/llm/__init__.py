"""An optional language model that answers in JSON: the ``LanguageModel`` protocol and the ways to get one."""

from __future__ import annotations

from pathlib import Path

from anamnos.config import Settings
from anamnos.errors import ConfigError
from anamnos.llm.base import LanguageModel, Message, Usage

__all__ = ["LanguageModel", "Message", "Usage", "resolve_llm"]


def resolve_llm(settings: Settings) -> LanguageModel | None:
    """Return the language model that the settings name, None if they name none; it connects at its first use only.

    ``llm_url`` is the base address of an OpenAI-compatible service (``http://localhost:11434/v1``), or
    ``recorded:<file>`` for answers that ``anamnos.llm.recorded`` wrote.
    Raises: ConfigError for any other, or if the model's name is missing.
    """
    url = settings.llm_url
    if not url:
        return None
    if url.startswith("recorded:"):
        from anamnos.llm.recorded import RecordedModel

        return RecordedModel(Path(url.removeprefix("recorded:")))
    if not settings.llm_model:
        raise ConfigError("llm_url is set, but llm_model is not.", hint="Set ANAMNOS_LLM_MODEL to the model's name.")
    from anamnos.llm.openai import OpenAIModel

    return OpenAIModel(url, settings.llm_model, api_key=settings.llm_api_key or None)
