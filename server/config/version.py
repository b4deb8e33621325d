"""The version of this release. `tests/unit/config/test_version.py` names the other places that must have the same."""

VERSION = "0.1.0"
