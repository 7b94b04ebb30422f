"""What an operator can ask a server and have it do: owns the use-cases and their HTTP face, and promises one
answer for all switches.
"""
