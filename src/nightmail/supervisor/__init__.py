"""The supervisor of a server: owns its ports, its run directory and its processes, and promises that a switch
that dies is started again and that none outlives it.
"""
