"""How MariaDB and MySQL run queries: plans, indexes, statistics."""
