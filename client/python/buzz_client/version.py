"""The version of this release: that of the server which it was tested with."""

__version__ = "0.1.0"
