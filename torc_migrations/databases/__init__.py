"""One open database of any kind."""
