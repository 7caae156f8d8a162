"""Run a plan on a copy, and report the result."""
