"""What all kinds of servers have in common: URLs, parameters of statements, connections that are lent."""
