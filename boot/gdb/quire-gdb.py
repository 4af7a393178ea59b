"""The kernel's structures in gdb, by name: `help quire` lists the commands.

`cargo run -- --gdb` prints a line that loads this file. Everything is read from the guest's memory; nothing is called there
and nothing changed. Types come from the kernel's debug information, and so do the names of kinds, lists, flags and ranks;
what is packed into words by hand is unpacked here as the file says that each function names.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# The project stays as it is.
sys.dont_write_bytecode = True

import quire.commands
import quire.printers
