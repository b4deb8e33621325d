"""PostgreSQL: the database that several nodes share, and the activity log on it."""
