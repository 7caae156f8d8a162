"""Compare torc_migrations with other migration tools, and with the least that a Python program could do."""
