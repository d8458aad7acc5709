"""From ``pip install`` to the first remembered fact: Anamnos and other systems, each along its own quick-start."""
