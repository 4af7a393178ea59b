//! The student's policy in a kernel that is booted, where a program touches pages in a memory cgroup. What is counted is what
//! QEMU's disk was asked for.
//!
//! The kernel is built in a tree of its own beside Quire's, whose files it has but for the policy. One is enough for all: it is
//! locked while it is used, and what does not change from one policy to the next stays compiled.

use std::{
    fmt::Display,
    fs::File,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use quire_boot::{Disk, Initramfs, Machine, Size, Status, initramfs, target};
use quire_protocol::Verdict;

use crate::lab::files::{Files, collect, lay, project, remove_others};

/// What the kernel is built from. Cargo wants all members of the workspace.
const PARTS: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    ".cargo/config.toml",
    "boot",
    "drivers",
    "kernel",
    "swap",
    "tests",
];

/// The machine does this in ten seconds.
const TIME_MAX: Duration = Duration::from_mins(2);

/// What QEMU writes down of each request to read.
const REQUEST: &str = "virtio_blk_handle_read";

/// Why nothing is known of the reads.
pub(super) enum Failed {
    /// There is no Quire here to build a kernel from.
    NoQuire,
    /// The kernel did not do what it should, in words.
    Booted(String),
}

fn failed(error: impl Display) -> Failed {
    Failed::Booted(format!("the kernel with your policy in it: {error}"))
}

/// How often the swap disk is read when a program touches what the words say, without readahead, with this policy in this table.
///
/// # Errors
/// [`Failed`].
pub(super) fn reads(policy: &str, table: &str, words: &str) -> Result<u64, Failed> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let project = project().map_err(|_| Failed::NoQuire)?;
    let tree = target().join("lab/L4/kernel");
    let mut files = Files::new();
    for name in PARTS {
        collect(&project.join(name), name, &mut files).map_err(failed)?;
    }
    let policies = "kernel/memory/src/policy/policies";
    files.insert(format!("{policies}/own.rs"), policy.into());
    files.insert(format!("{policies}/mod.rs"), table.into());
    std::fs::create_dir_all(&tree).map_err(failed)?;
    let lock = File::create(tree.with_extension("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    remove_others(&tree, &files).and_then(|()| lay(&tree, &files)).map_err(failed)?;

    let script = format!("echo 0 > /proc/sys/vm/page-cluster\ntouches {words}\n");
    let shell = initramfs::shell().into_iter().fold(Initramfs::new(), Initramfs::shell);
    let machine = Machine::new().kernel_of(&tree).disk(Disk::swap(Size::mebibytes(64))).icount();
    let machine = machine.initramfs(shell.file("lab.sh", 0o755, script)).qemu_arguments(["-trace", REQUEST]);
    let machine = machine.append("policy=own swapon=/dev/vda -- sh /lab.sh").timeout(TIME_MAX);
    let outcome = machine.run().map_err(failed)?;
    match outcome.status {
        status if status.is_success() => {
            Ok(outcome.qemu_messages.lines().filter(|line| line.contains(REQUEST)).count() as u64)
        }
        Status::Verdict(Verdict::Panic) => {
            let lines = outcome.log.lines().skip_while(|line| !line.contains("panic"));
            Err(failed(lines.take(3).collect::<Vec<_>>().join(" ")))
        }
        status => Err(failed(format!("{status}\n{}", outcome.log.lines().last().unwrap_or_default()))),
    }
}
