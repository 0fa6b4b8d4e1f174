"""Search methods compared: from finished runs to tables and files."""
