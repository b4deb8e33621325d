"""The base of end-to-end tests and drills: real nodes, an independent client, people, and checks for errors."""
