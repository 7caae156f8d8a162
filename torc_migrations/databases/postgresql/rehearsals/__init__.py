"""Copy a PostgreSQL database, or undo all that is tried on it, and record what scripts do there."""
