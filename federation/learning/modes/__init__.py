"""How a round's updates are weighed against one another: plainly, robustly, or privately; never two of them at once."""
