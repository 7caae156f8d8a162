"""Measure an upgrade beside running clients, and how many changes of the code the tests notice."""
