"""Basic parts of a running server: tasks, yielding to the event loop, clocks, batches, rate limits, metrics."""
