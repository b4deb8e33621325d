"""SQLite: the database in one file, and the activity log on it."""
