"""Schools and their PCs: claim codes, identity, sessions, and the one place where a status moves."""
