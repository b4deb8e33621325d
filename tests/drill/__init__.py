"""Faults on purpose: each drill says what must hold, and comes with a control that is known to fail.

``python -m tests.drill`` runs them at full size; their short forms are part of the tests.
"""
