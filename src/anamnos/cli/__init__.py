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
tags suggest   ``{"suggestions": [{"tag", "score", "because": [id]}]}``; route too, with labels for tags
states list    ``{"states": [{"name", "system", "id", "scope", "version", "load": Load.to_dict(), "size_bytes",
               "updated_at"}]}``
states show    ``{<the same>, "spec": Spec.to_dict(), "made_from": [id], "history": [<the same>]}``
states export  ``{"file", "bytes"}``; import and delete ``Receipt.to_dict()``
export         ``{"file", "versions"}``
backup         ``{"folder", "memories"}``
encrypt        ``{"vault", "encrypted", "key"}``, decrypt and rotate-key too; ``key`` is file, passphrase or null
verify         ``{"ok", "problems"}``
rebuild-index  ``{"memories"}``
reembed        ``{"memories", "embedder": {"id", "dim"}}``
doctor         ``{"ok", "checks": [{"name", "status", "detail"}]}``; ``status`` is ok, warn or fail
config show    ``{"settings": [{"name", "value", "source"}]}``
jobs list      ``{"jobs": [Job.to_dict()], "counts": [{"kind", "state", "jobs"}], "recurring": [{"kind", "scope",
               "every_s"}], "paused": [kind]}``; in ``paused`` ``*`` stands for all
jobs show      ``Job.to_dict()``; add too, and retry and cancel of one job; of several ``{"jobs": […]}``
jobs pause     ``{"paused"}``; resume too
jobs clean     ``{"removed"}``
worker         ``{"begun", "waiting", "running", "dead"}``: jobs begun by it, and left in the queue
top            ``{"at", "jobs": {state: number}, "running", "dead", "paused", "working": [{"scope", "memories": [id]}],
               "hot": [{"id", "uses"}], "stats": Memory.stats()}``
keys create    ``{"id", "name", "tenants", "rights", "owner", "operator", "created_at", "expires_at", "key"}``;
               ``tenants`` is null for all
keys list      ``{"keys": [<the same without "key">]}``
keys revoke    ``{"revoked": id}``
setup          ``{"packages": {name: version or null}, "model": path or null}``
=============  ====================================================================================================

An error is ``AnamnosError.to_dict()`` on standard error, and the exit status is its ``exit_code``; 1 is a fault of
ours, 2 a wrong use, 130 an interruption.
"""
