"""``anamnos bench associative``: the experiments of the associative memories. One file per experiment.

Each module has ``run(setting: Setting) -> Experiment`` and is named in ``EXPERIMENTS``.
"""

from __future__ import annotations

EXPERIMENTS: tuple[str, ...] = ()
"""Modules of this folder, in the order in which they run and stand on the page."""
