"""The operators' functions: figures, backups, erasure, doctor."""
