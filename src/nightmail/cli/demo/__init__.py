"""The demonstration owns a pair of its own for a minute: it loads it, kills a server, and keeps the ledger."""
