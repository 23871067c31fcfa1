"""What the school has to tell the centre, kept in order until the centre says that it is safe there."""
