//! Nothing to be written here: this lab's machine is Quire's own, and `machine.txt` says how it is booted.

fn main() {}
