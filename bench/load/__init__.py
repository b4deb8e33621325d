"""The load: clients that need so little time that the server, and not they, is measured.

Closed loop (`closed.py`) for capacity: a fixed number of requests in flight, the next is sent when one is answered.
Open loop (`pacing.py`) for latency: arrival times are fixed beforehand and latency counts from them, so that a server
that stalls cannot hide it by delaying the load.
"""
