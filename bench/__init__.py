"""The bench: every figure of the "Speed and memory" table, each beside its control in the same run.

`python -m bench` runs all rows; `docs/performance.md` says what the figures mean. Server and controls run pinned to one
core, the load to another (`cores.py`). A row is one module of `rows/`.
"""
