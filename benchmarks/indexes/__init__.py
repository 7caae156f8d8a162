"""Measure what the indexes of the torc schema gain and cost."""
