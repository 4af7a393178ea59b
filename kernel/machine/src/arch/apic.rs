//! The local interrupt controller: the timer that ends time slices, and the end of interrupts.

use core::fmt;
use core::num::NonZeroU32;
use core::ptr::NonNull;

use quire_drivers::calibration::{self, NoIntervalTimer};
use quire_drivers::local_apic::{self, LocalApic, LocalApicError, REGISTER_BYTES};
use spin::Once;

use super::vectors;
use crate::clock;
use crate::kernel_map;
use crate::no_memory::AllocationError;

static APIC: Once<LocalApic> = Once::new();

/// Why there is no timer.
#[derive(Debug)]
pub enum TimerError {
    /// The local APIC cannot be used.
    Apic(LocalApicError),
    /// There is nothing to measure its frequency with.
    Calibration(NoIntervalTimer),
    /// No memory to map its registers.
    Memory(AllocationError),
}

impl fmt::Display for TimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apic(error) => write!(f, "no timer: {error}"),
            Self::Calibration(error) => write!(f, "no timer: {error}"),
            Self::Memory(error) => write!(f, "no timer: {error}"),
        }
    }
}

/// Masks the legacy interrupt controllers, measures the clocks and starts the timer. Interrupts are off.
///
/// # Errors
/// [`TimerError`]; the kernel cannot run without a timer.
pub fn start() -> Result<(), TimerError> {
    local_apic::mask_legacy_controllers();
    let physical = local_apic::physical_base().map_err(TimerError::Apic)?;
    let address = kernel_map::map_registers(physical, REGISTER_BYTES).map_err(TimerError::Memory)?;
    // SAFETY: device registers are mapped in the kernel half, so not at address 0.
    let base = unsafe { NonNull::new_unchecked(address as *mut u8) };
    // SAFETY: the registers were just mapped, uncached and for ever.
    let apic = APIC.call_once(|| unsafe { LocalApic::new(base) });
    apic.enable(vectors::SPURIOUS);
    // SAFETY: nothing else in the kernel uses the interval timer.
    let frequencies = unsafe { calibration::measure(apic) }.map_err(TimerError::Calibration)?;
    clock::set_counter_frequency(frequencies.time_stamp_counter);
    let rate = const { NonZeroU32::new(clock::TICKS_PER_SECOND).unwrap() };
    apic.start_timer(vectors::TIMER, rate, frequencies.apic_timer).map_err(TimerError::Apic)
}

/// Says that the current interrupt has been served.
pub fn end_of_interrupt() {
    if let Some(apic) = APIC.get() {
        apic.end_of_interrupt();
    }
}

/// This processor's number on the interrupt bus.
pub fn id() -> u8 {
    APIC.get().map_or(0, LocalApic::id)
}
