"""Read migrations that are written for yoyo in Python."""
