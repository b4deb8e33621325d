"""Configuration: settings, logging, the version."""
