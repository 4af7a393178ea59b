//! How fast the time-stamp counter and the local APIC's timer run, measured against the PC's interval timer (8254).
//!
//! Channel 2 of the interval timer can be watched without an interrupt: its gate and its output are bits of port 0x61.

use core::arch::x86_64::_rdtsc;

use x86_64::instructions::port::Port;

use crate::local_apic::LocalApic;

/// What the interval timer counts with, in Hz.
const INTERVAL_TIMER_HZ: u64 = 1_193_182;
/// The length of one measurement in ticks of the interval timer: 1 ms.
const WINDOW: u16 = 1_193;
/// An interruption by the host only makes a window longer, so the shortest of several is the truest, and one that comes this close to
/// it, as a part of it, confirms it: it is less than a tick of the interval timer.
const AGREEMENT: u64 = 4_096;
/// The most windows.
const WINDOWS: usize = 15;
/// When to give up on an interval timer that does not count, in ticks of the time-stamp counter: seconds on any machine.
const PATIENCE: u64 = 1 << 34;

const CHANNEL_2: u16 = 0x42;
const MODE: u16 = 0x43;
/// Channel 2, low byte then high byte, mode 0: the output rises when the count reaches zero.
const CHANNEL_2_ONE_SHOT: u8 = 0b1011_0000;
const CONTROL: u16 = 0x61;
const CONTROL_GATE: u8 = 1 << 0;
const CONTROL_SPEAKER: u8 = 1 << 1;
const CONTROL_OUTPUT: u8 = 1 << 5;

/// The interval timer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the interval timer does not count")]
pub struct NoIntervalTimer;

/// Frequencies in Hz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequencies {
    /// Of the time-stamp counter.
    pub time_stamp_counter: u64,
    /// Of the local APIC's timer, after the divider that [`LocalApic::start_timer`] sets.
    pub apic_timer: u64,
}

/// The time-stamp counter: ticks since the machine was switched on.
pub fn time_stamp() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; it reads a counter.
    unsafe { _rdtsc() }
}

/// Measures for 2 to 15 ms with the timer of this processor's APIC, which is stopped afterwards.
///
/// # Errors
///
/// There is no interval timer to measure against.
///
/// # Safety
///
/// Nothing else uses the interval timer's channel 2 or port 0x61 meanwhile.
pub unsafe fn measure(apic: &LocalApic) -> Result<Frequencies, NoIntervalTimer> {
    // SAFETY: the caller keeps others away from the interval timer.
    let mut shortest = unsafe { window(apic)? };
    for _ in 1..WINDOWS {
        // SAFETY: as above.
        let (stamps, ticks) = unsafe { window(apic)? };
        let is_confirmed = agree(stamps, shortest.0) && agree(ticks, shortest.1);
        shortest = (shortest.0.min(stamps), shortest.1.min(ticks));
        if is_confirmed {
            break;
        }
    }
    let per_second = |count: u64| count * INTERVAL_TIMER_HZ / u64::from(WINDOW);
    Ok(Frequencies { time_stamp_counter: per_second(shortest.0), apic_timer: per_second(shortest.1) })
}

fn agree(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= other / AGREEMENT
}

/// Ticks of the time-stamp counter and of the APIC's timer during one window.
///
/// # Safety
///
/// As for [`measure`].
unsafe fn window(apic: &LocalApic) -> Result<(u64, u64), NoIntervalTimer> {
    let (mut channel, mut mode, mut control) =
        (Port::<u8>::new(CHANNEL_2), Port::<u8>::new(MODE), Port::<u8>::new(CONTROL));
    let [low, high] = WINDOW.to_le_bytes();
    // SAFETY: the ports are the interval timer's; counting touches no memory, and the speaker is off.
    unsafe {
        let others = control.read() & !(CONTROL_GATE | CONTROL_SPEAKER);
        control.write(others | CONTROL_GATE);
        mode.write(CHANNEL_2_ONE_SHOT);
        channel.write(low);
    }
    apic.start_counting();
    let start = (time_stamp(), apic.ticks_left());
    // SAFETY: as above; this byte starts the count.
    unsafe { channel.write(high) };
    // SAFETY: as above.
    while unsafe { control.read() } & CONTROL_OUTPUT == 0 {
        if time_stamp().wrapping_sub(start.0) > PATIENCE {
            return Err(NoIntervalTimer);
        }
    }
    Ok((time_stamp().wrapping_sub(start.0), u64::from(start.1.wrapping_sub(apic.ticks_left()))))
}
