"""Perform a plan."""
