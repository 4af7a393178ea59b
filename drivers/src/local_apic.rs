//! The local APIC of the processor that runs the code: its timer, its identity, the end of its interrupts.
//!
//! Through its memory-mapped registers (xAPIC; Intel SDM volume 3, chapter "Advanced Programmable Interrupt Controller"),
//! the form that every x86-64 machine starts in and the only one that QEMU emulates. Every processor finds its own APIC
//! at the same address, so one value serves all of them and needs no lock.

use core::{num::NonZeroU32, ptr::NonNull};

use virtio_drivers::PhysAddr;
use x86_64::{instructions::port::Port, registers::model_specific::Msr};

use crate::mmio::Register;

/// How much must be mapped at [`physical_base`], in bytes.
pub const REGISTER_BYTES: usize = 0x1000;

/// The model-specific register that says where the registers are.
const IA32_APIC_BASE: u32 = 0x1b;
const BASE_ENABLED: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const ID: usize = 0x20;
const TASK_PRIORITY: usize = 0x80;
const END_OF_INTERRUPT: usize = 0xb0;
const SPURIOUS: usize = 0xf0;
const TIMER: usize = 0x320;
const PERFORMANCE: usize = 0x340;
const LINE_0: usize = 0x350;
const LINE_1: usize = 0x360;
const ERROR: usize = 0x370;
const TIMER_INITIAL: usize = 0x380;
const TIMER_CURRENT: usize = 0x390;
const TIMER_DIVIDE: usize = 0x3e0;

const SOFTWARE_ENABLE: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
const DELIVER_NMI: u32 = 0b100 << 8;
const PERIODIC: u32 = 1 << 17;
const DIVIDE_BY_16: u32 = 0b0011;

/// Why the local APIC or its timer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalApicError {
    /// The firmware has switched it off.
    #[error("the local APIC is disabled")]
    Disabled,
    /// The firmware has switched it to x2APIC mode, in which the memory-mapped registers are gone.
    #[error("the local APIC is in x2APIC mode")]
    X2Apic,
    /// The timer cannot interrupt that often or that rarely.
    #[error("a timer of {timer_hz} Hz cannot interrupt {interrupts_hz} times a second")]
    Frequency {
        /// The frequency that the timer counts with.
        timer_hz: u64,
        /// The frequency asked for.
        interrupts_hz: NonZeroU32,
    },
}

/// Where the registers are.
///
/// # Errors
///
/// The memory-mapped registers are not in use.
pub fn physical_base() -> Result<PhysAddr, LocalApicError> {
    // SAFETY: every x86-64 processor has this register, and reading it has no effect.
    let base = unsafe { Msr::new(IA32_APIC_BASE).read() };
    if base & BASE_ENABLED == 0 {
        return Err(LocalApicError::Disabled);
    }
    if base & BASE_X2APIC != 0 {
        return Err(LocalApicError::X2Apic);
    }
    Ok(base & BASE_ADDRESS)
}

/// Masks every line of the two legacy interrupt controllers, which the firmware may have left in use.
pub fn mask_legacy_controllers() {
    for data_port in [0x21, 0xa1] {
        // SAFETY: the port is the mask of an 8259; masking only takes interrupts away.
        unsafe { Port::<u8>::new(data_port).write(0xff) };
    }
}

/// The registers of whichever processor uses them.
#[derive(Debug)]
pub struct LocalApic {
    base: NonNull<u8>,
}

// SAFETY: every access reaches the APIC of the processor that makes it and is a single volatile instruction.
unsafe impl Send for LocalApic {}
// SAFETY: as above.
unsafe impl Sync for LocalApic {}

impl LocalApic {
    /// # Safety
    ///
    /// [`REGISTER_BYTES`] bytes at [`physical_base`] are mapped uncached at `base` for as long as this exists. The vectors that it is
    /// given are for interrupts: the handlers of some exceptions find an error code, which an interrupt has not.
    pub const unsafe fn new(base: NonNull<u8>) -> Self {
        Self { base }
    }

    fn register(&self, offset: usize) -> Register<u32> {
        // SAFETY: the constants above lie within the mapped page; none of the registers makes the APIC touch memory.
        unsafe { Register::new(self.base, offset) }
    }

    /// Makes this processor accept interrupts; its timer and the lines of the legacy controllers stay silent, line 1 is
    /// the non-maskable interrupt. To be called once on each processor.
    ///
    /// A spurious interrupt arrives at `spurious_vector` and needs no end of interrupt.
    pub fn enable(&self, spurious_vector: u8) {
        self.register(SPURIOUS).write(SOFTWARE_ENABLE | u32::from(spurious_vector));
        for source in [TIMER, PERFORMANCE, LINE_0, ERROR] {
            self.register(source).write(MASKED);
        }
        self.register(LINE_1).write(DELIVER_NMI);
        self.register(TASK_PRIORITY).write(0);
    }

    /// The number that this processor's interrupts are addressed to.
    pub fn id(&self) -> u8 {
        (self.register(ID).read() >> 24) as u8
    }

    /// Ends the interrupt that is being handled.
    pub fn end_of_interrupt(&self) {
        self.register(END_OF_INTERRUPT).write(0);
    }

    /// Lets the timer count down once from its largest value without interrupting.
    pub(crate) fn start_counting(&self) {
        self.register(TIMER).write(MASKED);
        self.register(TIMER_DIVIDE).write(DIVIDE_BY_16);
        self.register(TIMER_INITIAL).write(u32::MAX);
    }

    /// How many ticks the timer has left.
    pub(crate) fn ticks_left(&self) -> u32 {
        self.register(TIMER_CURRENT).read()
    }

    /// Lets the timer of this processor interrupt at `vector` from now on. `timer_hz` is what calibration found.
    ///
    /// # Errors
    ///
    /// The timer cannot count that period.
    pub fn start_timer(&self, vector: u8, interrupts_hz: NonZeroU32, timer_hz: u64) -> Result<(), LocalApicError> {
        let period = u32::try_from(timer_hz / u64::from(interrupts_hz.get())).unwrap_or(0);
        if period == 0 {
            return Err(LocalApicError::Frequency { timer_hz, interrupts_hz });
        }
        self.register(TIMER_DIVIDE).write(DIVIDE_BY_16);
        self.register(TIMER).write(PERIODIC | u32::from(vector));
        self.register(TIMER_INITIAL).write(period);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::{num::NonZeroU32, ptr::NonNull};
    use std::{boxed::Box, vec};

    use super::{
        LINE_0, LocalApic, LocalApicError, MASKED, PERIODIC, REGISTER_BYTES, SOFTWARE_ENABLE, SPURIOUS, TIMER,
        TIMER_INITIAL,
    };

    /// An APIC whose registers are memory.
    fn apic() -> LocalApic {
        let registers = Box::leak(vec![0u32; REGISTER_BYTES / 4].into_boxed_slice());
        // SAFETY: the memory is as long as the registers and stays.
        unsafe { LocalApic::new(NonNull::from(registers).cast()) }
    }

    #[test]
    fn only_what_was_asked_for_interrupts() {
        let apic = apic();
        apic.enable(0xff);
        assert_eq!(apic.register(SPURIOUS).read(), SOFTWARE_ENABLE | 0xff);
        assert_eq!((apic.register(TIMER).read(), apic.register(LINE_0).read()), (MASKED, MASKED));
        let hundred = NonZeroU32::new(100).expect("not zero");
        assert_eq!(apic.start_timer(0x40, hundred, 62_500_000), Ok(()));
        assert_eq!((apic.register(TIMER).read(), apic.register(TIMER_INITIAL).read()), (PERIODIC | 0x40, 625_000));
    }

    #[test]
    fn a_period_that_the_timer_cannot_count_is_refused() {
        let (apic, one) = (apic(), NonZeroU32::MIN);
        for timer_hz in [0, 1 << 32] {
            let refused = Err(LocalApicError::Frequency { timer_hz, interrupts_hz: one });
            assert_eq!(apic.start_timer(0x40, one, timer_hz), refused);
        }
        assert_eq!(apic.start_timer(0x40, one, u32::MAX.into()), Ok(()));
    }
}
