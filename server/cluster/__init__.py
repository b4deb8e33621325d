"""One node among several: following the log's tail, and what nodes tell each other."""
