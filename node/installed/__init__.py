"""Which release the school's PC runs: bytes on the disk, one state file, and the way from assigned to committed."""
