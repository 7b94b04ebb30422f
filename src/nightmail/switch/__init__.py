"""The switch: sessions, routing, journal, queue and delivery meet here; what it answered it delivers or reports."""
