"""How the ministry's people sign in: lockout after failures, and a code from their telephone as a second factor."""
