"""Owns what an LDAP directory says, and promises that it means what the same lines of tables would, and nothing else.

Pure: `tree` says what entries mean as lines of the tables and how lines are kept as entries, `selection` which of
them come into force, `exchange` what to change so that a directory says what tables do, `judging` what is wrong with
entries that somebody writes and `amending` what they would be; `content` what a replica has sent and `sync_state` how
it says so, `known` what was found out about addresses, `recent` what changed while an answer was on its way, and
`maps` the model that is made of it; `lag` who is behind, `threats` what will go wrong, `replica` and `accounts` what
a replica of our own is told, `role` who may take writes where that moves; `names` and `ldif` write names, filters and
entries with whatever a user gave. `schemas` says how entries are asked for and understood, `mapping` those of a
directory that is not ours and `mapping_settings` what can be said of that; `filters` tells whether a text is a filter,
`settings` what can be said of a directory and `topologies` which of it goes together; `parts` who writes what of it.

Not pure: `slapd` lays down and runs a replica, `one_change_more` has whoever follows it see all, `soundness` reads its
files, `certificates` makes its keys, `managing` tells it its role; `sessions`, `connection`, `feed` and `writing` speak
to it, `diagnosis` finds out why nobody can; `lookups` asks all of them, `ranges` for all members of a list, `progress`,
`standing` and `comparing` hold them against each other; `role_log` keeps the role in the store and `held` a note of it
beside the entries, `confirming` tells when a write counts; `sign_in` tells whose password it is, `passwords` compares
what is stored of it; `contents` asks for the entries that others depend on, `numbering` and `copying` have a replica
begin with what there is; `external` follows a directory that is not ours, `external_standing` tells how its servers
stand; `reading` reads LDIF, `last_copy` keeps what was last known.
"""
