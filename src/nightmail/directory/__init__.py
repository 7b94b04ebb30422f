"""The directory: owns what an LDAP directory keeps for the mail system, and promises to mean by it what tables mean.

`tree` says what entries mean as lines of the tables and how lines are kept as entries, `selection` which of them come
into force, `names` and `ldif` write names, filters and entries with whatever a user gave (all of it pure).
"""
