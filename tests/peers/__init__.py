"""`make bench-peers`: how fast the next one is primary, with this library and others, in one run on one etcd.

`kinds` says who is measured, `field` holds candidates of one kind and does things to them, `cases` says what
is done, `figures` turns samples into medians and ranges, `bounds` says what must hold between them, `report`
writes it down, `plots` draws it.
"""
