"""The command line: one file per group of commands, each imported only when one of its commands runs.

``--json`` prints exactly one JSON document to standard output. Its shape is part of the public interface:

=============  ====================================================================================================
command        document
=============  ====================================================================================================
add, update    ``Receipt.to_dict()``; delete and import too
ingest         ``{"files": [{"path", "added", "updated", "unchanged"}], "refused": [{"path", <the error>}],
               "added", "updated", "unchanged"}``
search         ``{"query", "hits": [Hit.to_dict()]}``
ask            ``{"question", **PackedContext.to_dict()}``
list           ``{"memories": [MemCube.to_dict()], "next_after"}``; ``next_after`` is null on the last page
get            ``MemCube.to_dict()``
history        ``{"versions": [MemCube.to_dict()]}``, oldest first
stats          ``Memory.stats()``
export         ``{"file", "versions"}``
backup         ``{"folder", "memories"}``
verify         ``{"ok", "problems"}``
rebuild-index  ``{"memories"}``
reembed        ``{"memories", "embedder": {"id", "dim"}}``
doctor         ``{"ok", "checks": [{"name", "status", "detail"}]}``; ``status`` is ok, warn or fail
config show    ``{"settings": [{"name", "value", "source"}]}``
setup          ``{"packages": {name: version or null}, "model": path or null}``
=============  ====================================================================================================

An error is ``AnamnosError.to_dict()`` on standard error, and the exit status is its ``exit_code``; 1 is a fault of
ours, 2 a wrong use, 130 an interruption.
"""
