"""The servers that protect one another: owns who is alive, how long a journal has stood still, and who may adopt it.

It promises that a queue is adopted only if its journal stood still for its last promise, as timed here (J7), whatever
heartbeats say. They only set how much longer is waited. Decisions are pure: `step(view, event, now)`.
"""
