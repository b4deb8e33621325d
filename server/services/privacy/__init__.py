"""Privacy requests: receiving, changing and deleting them."""
