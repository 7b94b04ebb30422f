"""Transports: they carry one message to one destination and promise exactly one outcome for each of its recipients."""
