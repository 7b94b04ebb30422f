"""Routing: owns domains, routes, aliases, mailboxes and clients, and promises one answer for one address.

`tables` and `entries` read the text files, `compilation` checks them as a whole, `compiled` writes them into an LMDB
file and opens one as a snapshot, `generations` keeps these files, `resolution` answers from a snapshot.
"""
