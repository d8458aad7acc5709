"""The recall of a CA3 network on the Brian 2 simulator, step by step as ``anamnos.associative.spiking`` has it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.spiking import CA3Network

_CELL = """
v : 1
drive : 1        # from links, over the last two steps
active : 1       # other cells that fired in the last two steps
shown : 1
rests : 1        # steps of refractoriness left
"""
_STEP = """
v = int(rests < 0.5) * clip(leak * v + shown + drive - ratio * clip(active, 1, inf) + threshold, 0, inf)
rests = clip(rests - 1, 0, 1)
drive = 0
active = 0
shown = 0
"""


class BrianRecall:
    """A network of the same links, made once and run for each cue."""

    def __init__(self, network: CA3Network, *, steps: int) -> None:
        import brian2 as b

        b.prefs.codegen.target = "numpy"  # no compiler needed; the network is too small for one to pay
        step, spec = 1 * b.ms, network.spec
        b.defaultclock.dt = step
        constants = {"leak": spec.leak, "ratio": spec.ratio, "threshold": 0.1}
        self._cells = b.NeuronGroup(
            spec.cells, _CELL, threshold="v >= 0.0999", reset="v = 0\nrests = 1", namespace=constants, dt=step
        )
        self._cells.run_regularly(_STEP, dt=step, when="start")
        targets, sources = np.nonzero(network.weights)
        links = b.Synapses(self._cells, self._cells, "w : 1", on_pre=dict.fromkeys(("now", "then"), "drive_post += w"))
        links.connect(i=sources, j=targets)
        links.w = network.weights[targets, sources]
        counts = b.Synapses(self._cells, self._cells, on_pre=dict.fromkeys(("now", "then"), "active_post += 1"))
        counts.connect(condition="i != j")
        for synapses in (links, counts):
            synapses.now.delay = 0 * b.ms
            synapses.then.delay = step
        self._spikes = b.SpikeMonitor(self._cells)
        self._net, self._step, self._steps = b.Network(self._cells, links, counts, self._spikes), step, steps
        self._net.store()

    def run(self, cue: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the spikes of a recall: (steps, cells)."""
        self._net.restore()
        self._cells.shown = 2.0 * cue
        self._net.run(self._steps * self._step)
        spikes: Any = np.zeros((self._steps, len(cue)), dtype=np.bool_)
        at = np.round(np.asarray(self._spikes.t / self._step)).astype(np.int64)
        spikes[at, np.asarray(self._spikes.i)] = True
        return np.asarray(spikes)
