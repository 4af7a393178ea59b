"""What `quire-gdb.py` loads."""
