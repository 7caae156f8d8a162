"""How SQLite runs queries: plans, indexes, statistics."""
