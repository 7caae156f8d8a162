"""The schema of an SQLite database: what it consists of, what a script has changed in it, and what does not work."""
