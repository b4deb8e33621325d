"""The websocket route: the upgrade, the hello, reading frames and answering them."""
