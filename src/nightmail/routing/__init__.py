"""Routing: owns domains, routes, aliases, mailboxes and clients, and promises one answer for one address.

`tables` reads the text files, `compilation` checks them as a whole and writes them into an LMDB file, `compiled` opens
such a file as a snapshot, `resolution` answers from it, `reload` notices that the files changed.
"""
