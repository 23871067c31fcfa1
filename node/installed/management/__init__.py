"""Commands of the installed releases."""
