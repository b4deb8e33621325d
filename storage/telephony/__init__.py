"""Phone calls: Buzz numbers, who calls whom, what was decided of each call."""
