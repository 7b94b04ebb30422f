"""Measures nightmail beside Debian's Postfix on one machine, with the same tools, and says how it was done.

Both relay end to end to the same sink, both have synced a message before its 250, both write their log to a file.
"""
