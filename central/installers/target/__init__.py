"""What runs on the school's PC before anything is installed there: standard library only, no Django, no project."""
