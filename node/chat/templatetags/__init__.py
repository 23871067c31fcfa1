"""Template filters of the chat app."""
