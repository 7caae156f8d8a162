"""Scripts for PostgreSQL: cut them into statements, run them, and say who keeps them waiting."""
