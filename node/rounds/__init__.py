"""What the node is asked to learn, the updates it made from its own corrections, and where they went."""
