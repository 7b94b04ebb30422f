"""The directory: owns what an LDAP directory keeps for the mail system, and promises to mean by it what tables do.

Pure: `tree` says what entries mean as lines of the tables and how lines are kept as entries, `selection` which of
them come into force, `exchange` what to change so that a directory says what tables do, `content` what a replica has
sent and `sync_state` how it says so, `known` what was found out about addresses and `maps` the model that is made of
it, `lag` who is behind, `replica` and `accounts` what a replica of our own is told; `names` and `ldif` write names,
filters and entries with whatever a user gave. `schemas` says how entries are asked for and understood, `mapping` those
of a directory that is not ours; `filters` tells whether a text is a filter, `topologies` which settings go together.

Not pure: `slapd` lays down and runs a replica, `certificates` makes its keys; `sessions`, `connection`, `feed` and
`writing` speak to it, `diagnosis` finds out why nobody can; `lookups` asks all of them, `ranges` for all members of a
list, `standing` compares them; `external` follows a directory that is not ours, `external_standing` tells how its
servers stand; `reading` reads LDIF, `last_copy` keeps what was last known.
"""
