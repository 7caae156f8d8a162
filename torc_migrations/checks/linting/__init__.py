"""What migrations do, found by running them, and the rules over it."""
