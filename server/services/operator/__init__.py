"""What operators ask of a node: figures, backups, erasure, the doctor."""
