"""Schemas as they were written: read them, write them as a dump, and make one into another."""
