"""The door at which a node says all it has to say and hears all that the centre has for it."""
