"""A release on a school's PC: its package, its prompt, its adapter, the engine that answers and the scores it gets."""
