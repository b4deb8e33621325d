"""What runs: the live path, the services, the routes, and the composition root that joins them."""
