//! Builds the kernel, boots it in QEMU and reports its verdict.
