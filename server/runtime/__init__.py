"""What everything that runs needs: tasks, turns of the event loop, clocks, batches, rate limits, metrics."""
