"""Phone calls: Buzz numbers, the look-up of callers, and the decision on each call."""
