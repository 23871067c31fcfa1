"""What the centre's templates share."""
