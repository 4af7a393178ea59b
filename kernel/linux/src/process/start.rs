//! The beginning of a process: `fork` and its relatives.

use alloc::sync::Arc;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::general as linux;
use quire_machine::address_map::USER_END;
use quire_machine::arch::fpu::{IMAGE_BYTES, UserState};
use quire_machine::arch::registers::TrapFrame;
use quire_machine::fallible;
use quire_machine::log;
use quire_machine::stack::KernelStack;
use quire_machine::task::{self, Thread};
use quire_machine::user::UserPtr;
use quire_memory::charge::Charge;

use super::control_block::{Process, this};
use super::credentials::SUPERUSER;
use super::limits::Resource;
use super::table;
use crate::errno::Errno;

/// What a process takes of the kernel heap, roughly: itself, its thread, its registers, its signals and the lists that its
/// memory needs.
const HEAP_BYTES: usize = size_of::<Process>() + size_of::<Thread>() + IMAGE_BYTES + (8 << 10);

/// What `clone` was called with.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneRequest {
    /// `CLONE_…`, and the signal of its end in the lowest byte.
    pub flags: u32,
    /// The child's stack pointer; 0 for the parent's.
    pub stack: u64,
    /// Where the child's number is written in the parent.
    pub parent_number: UserPtr<u32>,
    /// Where the child's number is written in the child, at its beginning or as 0 at its end.
    pub child_number: UserPtr<u32>,
    /// The child's FS base.
    pub thread_storage: u64,
}

/// What `clone` can do; of the rest, flags that ask for sharing would need threads.
const KNOWN: u32 = linux::CSIGNAL
    | linux::CLONE_VM
    | linux::CLONE_VFORK
    | linux::CLONE_SETTLS
    | linux::CLONE_PARENT_SETTID
    | linux::CLONE_CHILD_SETTID
    | linux::CLONE_CHILD_CLEARTID
    | linux::CLONE_DETACHED
    | linux::CLONE_UNTRACED
    | linux::CLONE_IO;

/// Makes a child of the current process; returns its number. With `CLONE_VFORK` the parent sleeps until the child has left
/// the memory that it shares. `frame` has the registers of the caller's program.
///
/// # Errors
/// `EINVAL` for what would be a thread, `EAGAIN` and `ENOMEM` when there is no number or no memory for it.
pub fn clone(request: &CloneRequest, frame: TrapFrame) -> Result<u32, Errno> {
    let has = |flag: u32| request.flags & flag != 0;
    // Memory may be lent to a child, but two do not run in it at once.
    if has(linux::CLONE_THREAD) || has(linux::CLONE_VM) && !has(linux::CLONE_VFORK) {
        name_threads_once();
        return Err(Errno::EINVAL);
    }
    if request.flags & !KNOWN != 0 || has(linux::CLONE_SETTLS) && request.thread_storage >= USER_END {
        return Err(Errno::EINVAL);
    }
    let parent = this();
    let (child, thread) = make_child(&parent, request, frame)?;
    let pid = child.pid();
    if has(linux::CLONE_PARENT_SETTID) {
        // As on Linux: the child exists already, and a bad address changes nothing about that.
        let _ = request.parent_number.write(pid);
    }
    task::begin(&thread);
    drop(thread);
    if has(linux::CLONE_VFORK) {
        child.release.wait_until(|| child.released.load(Ordering::Acquire) || parent.standing().is_killed());
        // The child may have had another user meanwhile, or have had other limits.
        if let Some(space) = parent.space() {
            parent.apply_limits(&space);
        }
    }
    Ok(pid)
}

/// Says that there are no threads, the first time that a program asks for one.
fn name_threads_once() {
    static NAMED: AtomicBool = AtomicBool::new(false);
    if !NAMED.swap(true, Ordering::Relaxed) {
        log!("process", "{} asked for a thread, but a process has only one here: EINVAL", this());
    }
}

fn make_child(
    parent: &Arc<Process>,
    request: &CloneRequest,
    mut frame: TrapFrame,
) -> Result<(Arc<Process>, Arc<Thread>), Errno> {
    let has = |flag: u32| request.flags & flag != 0;
    fallible::ask(HEAP_BYTES).map_err(|_| Errno::EAGAIN)?;
    let user = parent.credentials().user;
    let is_superusers = [user.real, user.effective].contains(&SUPERUSER);
    if !is_superusers && table::count_of_user(user.real) >= parent.limit(Resource::PROCESSES).soft {
        return Err(Errno::EAGAIN);
    }
    if table::count() >= table::most() {
        return Err(Errno::EAGAIN);
    }
    let stack = KernelStack::new().map_err(|_| Errno::ENOMEM)?;
    let pid = table::free_number().ok_or(Errno::EAGAIN)?;
    let space = parent.space().ok_or(Errno::ESRCH)?;
    let space = if has(linux::CLONE_VM) { space } else { space.fork().map_err(|_| Errno::ENOMEM)? };
    let charge = Charge::new(HEAP_BYTES).map_err(|_| Errno::ENOMEM)?;
    let child = fallible::shared(Process::new(pid, Some(parent), space, charge)?)?;
    frame.rax = 0;
    if request.stack != 0 {
        frame.rsp = request.stack;
    }
    let mut user = UserState::of_current()?;
    if has(linux::CLONE_SETTLS) {
        user.set_fs_base(request.thread_storage);
    }
    if has(linux::CLONE_CHILD_SETTID) {
        child.write_at_start.store(request.child_number.address(), Ordering::Relaxed);
    }
    if has(linux::CLONE_CHILD_CLEARTID) {
        child.clear_at_end.store(request.child_number.address(), Ordering::Relaxed);
    }
    let thread = child.make_thread(stack, &frame, user, write_number)?;
    table::insert(Arc::clone(&child));
    Ok((child, thread))
}

/// What a child does before its program: it has its own memory then.
fn write_number(_: &Cell<TrapFrame>) {
    let process = this();
    let address = process.write_at_start.load(Ordering::Relaxed);
    if address != 0 {
        // As on Linux: a bad address is the program's affair.
        let _ = UserPtr::new(address).write(process.pid());
    }
}
