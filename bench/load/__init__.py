"""The load: clients cheap enough that the server, not they, is what is measured.

Closed loop (`closed.py`) for capacity: a fixed number of requests in flight, the next goes out when one is answered.
Open loop (`pacing.py`) for latency: arrival times are fixed beforehand and latency counts from them, so that a server
that stalls cannot hide its stall by holding the load back.
"""
