"""A world to test in: everything that time, chance and faults can do to nightmail, chosen by a test or by a seed."""
