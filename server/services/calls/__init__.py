"""What became of calls: the list of calls, and reports that come twice."""
