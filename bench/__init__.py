"""The bench: measures every figure of the "Speed and memory" table, each with its control in the same run.

`python -m bench` runs all rows; `docs/performance.md` says what the figures mean. Server and controls are pinned to one
core, the load to another (`cores.py`). A row is one module of `rows/`.
"""
