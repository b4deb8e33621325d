"""Privacy requests: how they come in, what becomes of them, how long they are kept."""
