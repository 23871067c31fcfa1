"""The school's people: its classes, pupils who sign in by class code and PIN, and the head's page of accounts."""
