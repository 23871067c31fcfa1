"""One module a command, each a thin door."""
