//! From the serial port to the line discipline.
//!
//! The timer interrupt asks the port for bytes and leaves them in a queue; a thread takes them from there, because echo
//! and signals are no work for an interrupt. That is 250 times a second up to 16 bytes, which the port itself keeps: faster
//! than a person types, and what is pasted waits on the other side of the port.

use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicBool, Ordering};

use quire_machine::clock;
use quire_machine::log;
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::{self, WaitQueue};

use super::job::send_to_foreground;
use super::state::TERMINAL;
use crate::errno::Errno;

/// How many bytes wait for the thread at most.
const CAPACITY: usize = 256;

static QUEUE: SpinLock<VecDeque<u8>> = SpinLock::new(Rank::TerminalQueue, VecDeque::new());
/// Whether there is something in the queue.
static ARRIVED: AtomicBool = AtomicBool::new(false);
static ARRIVAL: WaitQueue = WaitQueue::new();
static IS_STARTED: AtomicBool = AtomicBool::new(false);

/// Begins to listen.
///
/// # Errors
/// `ENOMEM`.
#[expect(clippy::disallowed_methods, reason = "once, as the kernel starts")]
pub fn start() -> Result<(), Errno> {
    TERMINAL.state.lock().discipline.reserve();
    *QUEUE.lock() = VecDeque::with_capacity(CAPACITY);
    task::spawn("terminal", work).map_err(|_| Errno::ENOMEM)?;
    IS_STARTED.store(true, Ordering::Release);
    Ok(())
}

/// The timer interrupt: takes what the port has.
#[expect(clippy::disallowed_methods, reason = "the queue has the room that `start` made")]
pub fn tick() {
    if !IS_STARTED.load(Ordering::Acquire) {
        return;
    }
    let mut queue = QUEUE.lock();
    let room = CAPACITY - queue.len();
    log::received(room, |byte| queue.push_back(byte));
    let arrived = !queue.is_empty();
    drop(queue);
    if arrived && !ARRIVED.swap(true, Ordering::AcqRel) {
        ARRIVAL.wake_all();
    }
}

fn work() {
    loop {
        ARRIVAL.wait_until(|| ARRIVED.swap(false, Ordering::AcqRel));
        loop {
            let mut bytes = [0; 64];
            let mut queue = QUEUE.lock();
            let count = queue.len().min(bytes.len());
            for (place, byte) in bytes.iter_mut().zip(queue.drain(..count)) {
                *place = byte;
            }
            drop(queue);
            if count == 0 {
                break;
            }
            receive(&bytes[..count]);
        }
    }
}

fn receive(bytes: &[u8]) {
    for &byte in bytes {
        let mut state = TERMINAL.state.lock();
        state.typed = clock::since_boot();
        let signal = state.discipline.receive(byte, &mut log::write_bytes);
        drop(state);
        if let Some(signal) = signal {
            send_to_foreground(signal);
        }
    }
    TERMINAL.changes.notify();
}
