"""Backups of what a school would miss: sealed by a passphrase, put back whole or not at all."""
