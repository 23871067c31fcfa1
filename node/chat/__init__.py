"""Questions and answers on the school's own network, and the engine process that writes the answers."""
