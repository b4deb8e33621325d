"""The wire formats: pure values and functions. No I/O, no clock, no randomness."""
