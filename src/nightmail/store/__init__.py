"""The store: where journals live, durable and within reach of every server of a group; it promises `put_new`."""
