"""What to attempt next: it owns the order, the limits and the patience of delivery, and promises that no job is lost
or kept waiting unfairly.

Nothing here reads a clock, sleeps or opens a socket: `now` is an argument. `Destinations` takes seconds of
`Clock.elapsed`, for its times pass only while the machine runs; `Waiting` and `Backoff` take `Clock.wall`, for their
times are written into the journal and survive a restart (J12).
"""
