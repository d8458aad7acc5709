"""Memories to be handed on, as a folder or a file: made, signed, checked, loaded, installed, published."""

from anamnos.system.bundles.installed import is_installed
from anamnos.system.bundles.of_vault import Bundles

__all__ = ["Bundles", "is_installed"]
