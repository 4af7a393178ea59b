//! What the kernel, the launcher and the guest's programs must agree on, in one place so that they cannot disagree.
//!
//! The kernel's command line and its initramfs arrive as files of QEMU's `fw_cfg` device; the verdict leaves through its
//! `isa-debug-exit` device; the demo's and every scenario's last line has a fixed form that tests read. What workloads
//! write, in the kernel and in programs, is in [`contents`]; which pages they reference, in the simulator and in programs, in
//! `references`; how a machine's own references are recorded, in [`recording`]; what the kernel publishes of itself for those who
//! look at the guest's memory, in [`observatory`].

#![no_std]
#![forbid(unsafe_code)]

#[cfg(not(target_os = "none"))]
extern crate std;

pub mod contents;
pub mod observatory;
pub mod recording;
#[cfg(not(target_os = "none"))]
pub mod references;

/// The `fw_cfg` file that holds the kernel's command line (UTF-8, no terminator).
pub const COMMAND_LINE_FILE: &str = "opt/org.quire/cmdline";

/// The longest command line, in bytes, that the kernel reads; Linux's x86 limit.
pub const COMMAND_LINE_MAX: usize = 2048;

/// The `fw_cfg` file that holds the initramfs: cpio archives in the `newc` form, each plain or compressed by gzip.
pub const INITRD_FILE: &str = "opt/org.quire/initrd";

/// The I/O port of `isa-debug-exit`; a 32-bit write of `value` makes QEMU exit with `value << 1 | 1`.
pub const DEBUG_EXIT_PORT: u16 = 0xf4;

/// How the kernel says that it is done. Whatever else ends QEMU is a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The work was done and every check held.
    Success,
    /// The work could not be done or a check did not hold; the log says which.
    Failure,
    /// The kernel panicked; the log holds the report.
    Panic,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Panic];

    /// The value that the kernel writes to [`DEBUG_EXIT_PORT`].
    pub const fn port_value(self) -> u32 {
        match self {
            Self::Success => 0x10,
            Self::Failure => 0x11,
            Self::Panic => 0x12,
        }
    }

    /// The verdict behind QEMU's exit status, if there is one: 33 success, 35 failure, 37 panic.
    pub fn from_qemu_status(status: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| status == (verdict.port_value() << 1 | 1).cast_signed())
    }
}

/// What the last line of every scenario begins with; `ok` or `FAILED` follows the scenario's name.
pub const LAST_LINE_PREFIX: &str = "quire: ";

/// The least memory, in MiB, that the UEFI firmware boots with. A smaller machine is made with [`MEMORY_LIMIT_WORD`].
pub const FIRMWARE_MEMORY_MIB: u64 = 64;

/// The command-line word that makes the kernel leave RAM beyond an address alone: `mem=32M`, as on Linux.
pub const MEMORY_LIMIT_WORD: &str = "mem=";

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn verdicts_come_back_from_the_status_that_qemu_makes_of_them() {
        assert_eq!(Verdict::from_qemu_status(33), Some(Verdict::Success));
        assert_eq!(Verdict::from_qemu_status(35), Some(Verdict::Failure));
        assert_eq!(Verdict::from_qemu_status(37), Some(Verdict::Panic));
        for crash in [0, 1, 2, 139, -1] {
            assert_eq!(Verdict::from_qemu_status(crash), None, "{crash}");
        }
    }
}
