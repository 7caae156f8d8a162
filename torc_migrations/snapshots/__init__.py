"""Copy a database before a run, and restore a copy."""
