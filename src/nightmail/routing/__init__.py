"""Routing: owns domains, routes, aliases, mailboxes, clients and policies, and promises one answer for one address.

`source` is where entries come from, `tables` and `entries` read text files, `compilation` checks all as a whole,
`compiled` writes them into an LMDB file and opens one as a snapshot, `generations` keeps these files, `resolution`
answers from a snapshot. `submitters` is what there is to know of who signs in.
"""
