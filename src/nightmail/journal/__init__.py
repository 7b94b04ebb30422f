"""The journal: the log in which a queue lives; who writes its next slot owns it, and nothing acknowledged is lost."""
