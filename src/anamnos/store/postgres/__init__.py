"""A store on a PostgreSQL server: the truth of a vault that many machines share. Needs the extra ``postgres``.

>>> from anamnos.store.postgres import PostgresStore        # doctest: +SKIP
>>> store = PostgresStore("postgresql://ann@db.example/memory").open()        # doctest: +SKIP
"""

from anamnos.errors import MissingExtra

try:
    import psycopg  # noqa: F401
    import psycopg_pool  # noqa: F401
except ImportError as exc:
    raise MissingExtra("The PostgreSQL store", "postgres") from exc

from anamnos.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
