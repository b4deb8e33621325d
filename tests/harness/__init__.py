"""What end-to-end tests and drills stand on: real nodes, a client of our own making, people to talk, and a watch."""
