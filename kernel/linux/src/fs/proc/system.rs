//! The system as a whole: `/proc/stat`, `/proc/uptime` and the like.

use alloc::string::String;
use core::sync::atomic::Ordering;
use core::time::Duration;

use quire_machine::clock;
use quire_machine::sync::Once;
use quire_machine::task::scheduler;

use super::super::mount::{FILESYSTEMS, ON_DISK};
use super::super::synthetic::{line, print};
use crate::errno::Errno;
use crate::process::table;
use crate::process::usage::TICKS;
use crate::system_name::{RELEASE, SYSTEM, VERSION};

/// The unit of processor times (`USER_HZ`).
pub(super) fn clock_ticks(time: Duration) -> u64 {
    (time.as_millis() / 10) as u64
}

/// The kernel's command line.
static COMMAND_LINE: Once<&'static str> = Once::new();

/// Says what the kernel's command line is.
pub fn set_command_line(command_line: &'static str) {
    COMMAND_LINE.call_once(|| command_line);
}

/// `/proc/cmdline`
pub(super) fn command_line(out: &mut String) -> Result<(), Errno> {
    line(out, COMMAND_LINE.get().unwrap_or(&""))
}

/// `/proc/version`
pub(super) fn version(out: &mut String) -> Result<(), Errno> {
    print(out, format_args!("{SYSTEM} version {RELEASE} ({VERSION})\n"))
}

/// `/proc/filesystems`
pub(super) fn filesystems(out: &mut String) -> Result<(), Errno> {
    FILESYSTEMS.iter().try_for_each(|name| print(out, format_args!("nodev\t{name}\n")))?;
    print(out, format_args!("\t{ON_DISK}\n"))
}

/// Time in programs, in the kernel on their behalf, and idle.
fn times() -> [Duration; 3] {
    let [user, system] = TICKS.each_ref().map(|ticks| clock::TICK * ticks.load(Ordering::Relaxed) as u32);
    [user, system, clock::since_boot().saturating_sub(user + system)]
}

/// `/proc/uptime`
pub(super) fn uptime(out: &mut String) -> Result<(), Errno> {
    let (boot, [.., idle]) = (clock::since_boot(), times());
    let hundredths = |time: Duration| time.subsec_millis() / 10;
    let (boot_part, idle_part) = (hundredths(boot), hundredths(idle));
    print(out, format_args!("{}.{boot_part:02} {}.{idle_part:02}\n", boot.as_secs(), idle.as_secs()))
}

/// `/proc/loadavg`: load averages are not kept.
pub(super) fn load(out: &mut String) -> Result<(), Errno> {
    let (processes, last) = (table::count(), table::last_number());
    print(out, format_args!("0.00 0.00 0.00 1/{processes} {last}\n"))
}

/// `/proc/stat`
pub(super) fn stat(out: &mut String) -> Result<(), Errno> {
    let [user, system, idle] = times().map(clock_ticks);
    print(out, format_args!("cpu  {user} 0 {system} {idle} 0 0 0 0 0 0\n"))?;
    print(out, format_args!("cpu0 {user} 0 {system} {idle} 0 0 0 0 0 0\n"))?;
    let boot_time = clock::since_1970().saturating_sub(clock::since_boot()).as_secs();
    let (switches, last, running) = (scheduler::switches(), table::last_number(), table::count());
    print(out, format_args!("intr 0\nctxt {switches}\nbtime {boot_time}\nprocesses {last}\n"))?;
    print(out, format_args!("procs_running {running}\nprocs_blocked 0\n"))
}

/// `/proc/cpuinfo`
pub(super) fn processors(out: &mut String) -> Result<(), Errno> {
    print(out, format_args!("processor\t: 0\ncpu cores\t: 1\n\n"))
}
