//! From the loader's jump to the first thread, and from there to the verdict.
//!
//! The loader leaves the kernel on a stack of its own, with page tables of its own and a direct map of all physical
//! memory. [`begin`] takes the memory over, builds Quire's page tables and moves to a guarded stack; `go_on` starts
//! what needs threads, runs the scenario that the command line names, and leaves with its verdict.

use core::arch::asm;

use bootloader_api::info::MemoryRegion;
use quire_drivers::fw_cfg::{self, FwCfgError, PortRegisters};
use quire_drivers::recording;
use quire_linux::fs::start;
use quire_linux::process::exit;
use quire_linux::process::init;
use quire_linux::process::signal::ChildChange;
use quire_machine::arch::{apic, cpu, gdt, interrupts, syscall, translations, trap, xsave};
use quire_machine::clock;
use quire_machine::event;
use quire_machine::log::Setting;
use quire_machine::observatory;
use quire_machine::power;
use quire_machine::stack::KernelStack;
use quire_machine::task::scheduler;
use quire_machine::upcall;
use quire_machine::{kernel_map, physical};
use quire_machine::{log, log_error};
use quire_memory::large_folio;
use quire_memory::{lru, policy, recorder};
use quire_protocol::recording::RECORD_TRACE_WORD;
use quire_protocol::{COMMAND_LINE_FILE, COMMAND_LINE_MAX, Verdict};
use spin::Once;

use crate::command_line::{BadValue, CommandLine};
use crate::upcalls;
use crate::{backends, block_devices, disk, initramfs, scenario, swapon, zram, zswap};

static COMMAND_LINE: Once<([u8; COMMAND_LINE_MAX], usize)> = Once::new();

/// The kernel's command line.
pub fn command_line() -> CommandLine<'static> {
    let text = COMMAND_LINE.get().map_or(&[][..], |(bytes, length)| &bytes[..*length]);
    CommandLine::new(core::str::from_utf8(text).unwrap_or(""))
}

/// The kernel's first function.
///
/// # Safety
/// Called once, by the entry point, with the loader's memory map, on the loader's page tables with its direct map.
#[expect(unsafe_code, reason = "the machine is taken over from the loader, once")]
pub unsafe fn begin(regions: &[MemoryRegion]) -> ! {
    clock::begin();
    upcall::install(&upcalls::MACHINE);
    quire_memory::upcall::install(&upcalls::MEMORY);
    // SAFETY: nothing has used the processor's data yet.
    unsafe { cpu::start(0) };
    log::start();
    gdt::start();
    trap::start();
    xsave::start();
    syscall::start();
    read_command_line();
    if let Some(level) = or_give_up(command_line().console_level()) {
        Setting::Console.set(level);
    }
    log!("boot", "Quire {}", env!("CARGO_PKG_VERSION"));
    if !command_line().as_str().is_empty() {
        log!("boot", "command line: {}", command_line().as_str());
    }
    let limit = or_give_up(command_line().size("mem")).unwrap_or(u64::MAX);
    // SAFETY: the loader's memory map, of which nothing was taken yet.
    or_give_up(unsafe { physical::start(regions, limit) });
    // SAFETY: as above; the loader's tables are in use.
    let root = or_give_up(unsafe { kernel_map::loader::build(regions, limit) });
    let stack = or_give_up(KernelStack::new());
    let top = stack.top();
    // The stack is the first thread's, which never ends; `go_on` makes a value of it again.
    core::mem::forget(stack);
    // SAFETY: the new tables map the kernel's image, the direct map and the new stack; nothing on the old stack is used
    // any more.
    unsafe {
        asm!(
            "mov cr3, {root}",
            "mov rsp, {top}",
            "xor ebp, ebp",
            "call {go_on}",
            root = in(reg) root.address(),
            top = in(reg) top,
            go_on = sym go_on,
            options(noreturn),
        )
    }
}

#[expect(unsafe_code, reason = "the first stack becomes a value again")]
extern "C" fn go_on() -> ! {
    debug_assert_eq!(translations::active_root(), kernel_map::root());
    // SAFETY: the stack was forgotten by `begin`, and this is the one place that takes it up.
    let stack = unsafe { KernelStack::first() };
    if or_give_up(command_line().events()) {
        event::start();
    }
    or_give_up(scheduler::start(stack));
    observatory::start();
    or_give_up(apic::start());
    clock::read_clock();
    interrupts::enable();
    let marks = physical::watermarks();
    log!(
        "mm",
        "{} frames ({} MiB); watermarks: min {} low {} high {}",
        physical::managed_frames(),
        physical::managed_frames() >> 8,
        marks.min,
        marks.low,
        marks.high
    );
    or_give_up(choose_policy(command_line()));
    or_give_up(choose_large_folios(command_line()));
    or_give_up(quire_memory::start());
    if command_line().has(RECORD_TRACE_WORD) {
        or_give_up(recorder::start(recording::write));
    }
    disk::start();
    block_devices::start();
    or_give_up(backends::start());
    or_give_up(zram::start(command_line()));
    or_give_up(zswap::start(command_line()));
    let fetched = or_give_up(initramfs::fetch());
    let has_programs = fetched.is_some();
    or_give_up(start::start(command_line().as_str(), fetched));
    let verdict = if has_programs && command_line().value("scenario").is_none() {
        run_programs()
    } else {
        scenario::run::run(command_line())
    };
    power::off(verdict)
}

/// Has the policy of reclaim decide that the command line names, as `policy=`.
fn choose_policy(command_line: CommandLine<'static>) -> Result<(), BadValue<'static>> {
    const KEY: &str = "policy";
    let Some(value) = command_line.value(KEY) else { return Ok(()) };
    lru::set_policy(value).ok_or(BadValue { key: KEY, value, expected: policy::EXPECTED })?;
    log!("mm", "which page goes: policy {value}");
    Ok(())
}

/// Sets which anonymous memory gets large folios, as `thp_anon=64K:SETTING` (Linux: the same, for its sizes).
fn choose_large_folios(command_line: CommandLine<'static>) -> Result<(), BadValue<'static>> {
    const KEY: &str = "thp_anon";
    let Some(value) = command_line.value(KEY) else { return Ok(()) };
    let setting = value.strip_prefix("64K:").and_then(large_folio::Setting::named);
    let expected = "64K:always, 64K:inherit, 64K:madvise or 64K:never";
    large_folio::FOR_SIZE.set(setting.ok_or(BadValue { key: KEY, value, expected })?);
    Ok(())
}

/// Enables the swap areas that the command line names, starts the first process and waits for its end, which is the verdict's.
fn run_programs() -> Verdict {
    if command_line().value("swapon").is_some() {
        or_give_up(swapon::enable(command_line()));
    }
    or_give_up(init::start_init(command_line().for_init()));
    match exit::wait_for_init() {
        ChildChange::Exited(0) => Verdict::Success,
        _ => Verdict::Failure,
    }
}

#[expect(unsafe_code, reason = "the device's ports have one user at a time, and this is the first")]
fn read_command_line() {
    let mut buffer = [0; COMMAND_LINE_MAX];
    // SAFETY: nothing else uses the device.
    let mut registers = unsafe { PortRegisters::new() };
    let length = match fw_cfg::read_file(&mut registers, COMMAND_LINE_FILE, &mut buffer) {
        Ok(length) => length,
        Err(FwCfgError::NoFile | FwCfgError::Absent) => 0,
        Err(error) => give_up(error),
    };
    if core::str::from_utf8(&buffer[..length]).is_err() {
        give_up("the command line is not UTF-8");
    }
    COMMAND_LINE.call_once(|| (buffer, length));
}

fn or_give_up<T, E: core::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| give_up(error))
}

/// Ends a kernel that cannot start: no bug, but nothing that it could do either.
fn give_up(why: impl core::fmt::Display) -> ! {
    log_error!("boot", "cannot start: {why}");
    power::off(Verdict::Failure)
}
