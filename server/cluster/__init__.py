"""One node among several: following the log's tail, and the notices between nodes."""
