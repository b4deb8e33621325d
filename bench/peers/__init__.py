"""Alternatives that a user may choose, doing the same work: send, store durably, acknowledge, push to both sides.

Each is written as its own documentation recommends and installed, at bench time and outside the repository, by its own
package manager. A peer that can't be installed is listed as left out.
"""
