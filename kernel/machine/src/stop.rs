//! Where the kernel was at the last tick and when it panicked, for those who look from outside: a backtrace begins there.

use core::arch::asm;
use core::fmt;
use core::sync::atomic::Ordering;

use quire_protocol::observatory::{AtomicPage, AtomicStop, Stop};

use crate::arch::cpu;
use crate::arch::registers::TrapFrame;
use crate::running::Running;

static STOP: AtomicStop = AtomicStop::new();
static TICK: AtomicStop = AtomicStop::new();
/// What was said, as far as it fits.
static MESSAGE: spin::Mutex<[u8; 1024]> = spin::Mutex::new([0; 1024]);

/// Notes that the kernel panics here, in the function that calls this.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the registers are to be the caller's")]
pub(crate) fn note_panic(message: impl fmt::Display) {
    let mut registers = [0_u64; 8];
    // SAFETY: eight words are written where there are eight.
    unsafe {
        asm!(
            "lea {scratch}, [rip]",
            "mov [{place}], {scratch}",
            "mov [{place} + 8], rsp",
            "mov [{place} + 16], rbp",
            "mov [{place} + 24], rbx",
            "mov [{place} + 32], r12",
            "mov [{place} + 40], r13",
            "mov [{place} + 48], r14",
            "mov [{place} + 56], r15",
            place = in(reg) registers.as_mut_ptr(),
            scratch = out(reg) _,
            options(nostack, preserves_flags),
        );
    }
    publish_panic(registers, message);
}

#[inline(never)]
fn publish_panic(registers: [u64; 8], message: impl fmt::Display) {
    // Another panic has it: that one's words stay.
    let Some(mut text) = MESSAGE.try_lock() else { return };
    let mut line = Line { text: &mut *text, length: 0 };
    // What does not fit is left out.
    let _ = fmt::write(&mut line, format_args!("{message}"));
    let message_length = line.length as u64;
    STOP.publish(&Stop { message: text.as_ptr().addr() as u64, message_length, ..at(registers) });
}

/// Notes what a tick of the timer interrupted.
pub(crate) fn note_tick(frame: &TrapFrame) {
    let TrapFrame { rip, rsp, rbp, rbx, r12, r13, r14, r15, .. } = *frame;
    TICK.publish(&at([rip, rsp, rbp, rbx, r12, r13, r14, r15]));
}

/// The running thread, with these registers and without a message.
fn at([rip, rsp, rbp, rbx, r12, r13, r14, r15]: [u64; 8]) -> Stop {
    let thread = cpu::with_running(Running::number).unwrap_or(0).into();
    Stop { sequence: 0, thread, rip, rsp, rbp, rbx, r12, r13, r14, r15, message: 0, message_length: 0 }
}

struct Line<'a> {
    text: &'a mut [u8],
    length: usize,
}

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let rest = self.text.get_mut(self.length..).unwrap_or_default();
        let length = part.len().min(rest.len());
        rest[..length].copy_from_slice(&part.as_bytes()[..length]);
        self.length += length;
        Ok(())
    }
}

/// Says where these are.
pub(crate) fn publish(page: &AtomicPage) {
    page.stop.store(core::ptr::from_ref(&STOP).addr() as u64, Ordering::Relaxed);
    page.tick.store(core::ptr::from_ref(&TICK).addr() as u64, Ordering::Relaxed);
}
