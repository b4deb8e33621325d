"""Push: wakes the devices of people that have no live session."""
