"""Push: where sleeping devices can be woken, and which of them a node is waking."""
