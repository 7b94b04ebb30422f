"""The network as asyncio sees it: listening sockets, dialing, DNS; every wait ends, every buffer has a bound."""
