"""The rules: what the routes and the socket ask, one service per subject."""
