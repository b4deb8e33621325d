"""The PostgreSQL server of the tests: it gives each test a database that looks fresh."""

from __future__ import annotations

from local_servers import postgres
from tests.servers.databases import Databases


class PostgresServer(postgres.PostgresServer):
    """One server with the databases that tests take and give back."""

    def __init__(self, options: dict[str, str] | None = None) -> None:
        super().__init__(options)
        self.databases = Databases(self.url())
