"""All durable data: the activity log, the directory, numbers, calls, keys, privacy requests and their deliveries."""
