"""Calls: the decisions, the list of calls, and repeated reports."""
