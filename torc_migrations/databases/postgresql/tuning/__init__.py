"""How PostgreSQL runs queries: plans, indexes, statistics."""
