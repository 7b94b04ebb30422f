"""The load balancer in front of the servers: owns how it is configured and told to drain one, and promises that what it
passes on says whose connection it is.
"""
