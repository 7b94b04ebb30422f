"""nightmail: a mail switch that never loses an acknowledged message and never keeps a server idle."""

__version__ = "0.1.0"
