"""Cut a script into statements, run them, and record what they do."""
