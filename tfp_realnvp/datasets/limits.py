"""The largest files that are read, so that a file from anywhere cannot fill the memory."""

__all__ = ["MAX_BYTES", "MAX_FILES", "MAX_PIXELS"]

MAX_BYTES = 8 << 30  # in one array; a larger data set would not fit into memory anyway
MAX_PIXELS = 1 << 24  # in one PNG file
MAX_FILES = 10_000  # in a folder of PNG files
