"""Changes the program of this PC: the one part of the node that root runs (decision 0111).

`updating` says in which order; `vouched` asks TUF; `laying` makes the folder of a version. All that opens the school's
data is a child process of the user whose data it is (`as_user`): the rehearsal, the copy of the database, the look at
whether the page answers.
"""
