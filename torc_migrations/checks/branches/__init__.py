"""Migrations of several branches: the line that conflicts, and new numbers for those of one branch."""
