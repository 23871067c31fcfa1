"""The node's commands."""
