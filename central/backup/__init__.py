"""Copies of what the centre keeps beside PostgreSQL, and how disk and tables come together after a restore.

PostgreSQL's own tools copy its database and bring it back to any moment (`deploy/backup`); an embedded centre's
database is a file like others here. The keys are copied to a place of their own: whoever finds a backup must not be
able to sign.
"""
