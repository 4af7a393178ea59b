//! `/dev/kmsg`: the log for programs, a line for each read, and lines from programs (Linux:
//! `Documentation/ABI/testing/dev-kmsg`).

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use core::time::Duration;

use quire_machine::clock;
use quire_machine::fallible::{self, Lossy};
use quire_machine::log_ring::{Kept, TEXT_MAX};
use quire_machine::{log, log_limited};

use super::changes;
use super::node::{File, Wait};
use super::poll::Ready;
use super::position::Position;
use crate::errno::Errno;
use crate::process::control_block::current;

/// How often a waiting reader looks: lines come from where no task can be woken.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What becomes of lines that programs write (Linux: `kernel.printk_devkmsg`).
static FROM_PROGRAMS: AtomicU8 = AtomicU8::new(FromPrograms::Limited as u8);

/// The values of `kernel.printk_devkmsg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FromPrograms {
    /// No more than the kernel's own lines that a program can cause.
    Limited,
    /// All are kept.
    On,
    /// None is.
    Off,
}

impl FromPrograms {
    const ALL: [Self; 3] = [Self::Limited, Self::On, Self::Off];

    /// What is set.
    pub fn now() -> Self {
        Self::ALL[usize::from(FROM_PROGRAMS.load(Ordering::Relaxed))]
    }

    /// Sets what is called `name`.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn set(name: &str) -> Result<(), Errno> {
        let named = Self::ALL.into_iter().find(|value| value.name() == name).ok_or(Errno::EINVAL)?;
        FROM_PROGRAMS.store(named as u8, Ordering::Relaxed);
        Ok(())
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Limited => "ratelimit",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// One reader.
struct Kmsg {
    next: AtomicU64,
}

/// Opens the log from its oldest line on.
///
/// # Errors
/// `ENOMEM`.
pub fn open() -> Result<Arc<dyn File>, Errno> {
    Ok(fallible::shared(Kmsg { next: AtomicU64::new(0) })?)
}

impl File for Kmsg {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, _: Position, buffer: &mut [u8], wait: Wait) -> Result<usize, Errno> {
        let mut text = [0; TEXT_MAX];
        loop {
            let seen = changes::seen();
            if let Some(Kept { number, time, level, length }) =
                log::kept_line(self.next.load(Ordering::Relaxed), &mut text)
            {
                let (text, micros) = (Lossy(&text[..length]), time.as_micros());
                let line = fallible::text(format_args!("{level},{number},{micros},-;{text}\n"))?;
                buffer.get_mut(..line.len()).ok_or(Errno::EINVAL)?.copy_from_slice(line.as_bytes());
                self.next.store(number + 1, Ordering::Relaxed);
                return Ok(line.len());
            }
            if wait == Wait::Never {
                return Err(Errno::EAGAIN);
            }
            changes::wait_for_any(seen, Some(clock::since_boot() + LOOK_AGAIN))?;
        }
    }

    fn write(&self, _: Position, bytes: &[u8], _: Wait) -> Result<usize, Errno> {
        // `<6>text` names a priority, which Quire does not keep.
        let digits = bytes.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
        let text = match bytes {
            [b'<', rest @ ..] if digits > 0 && rest.get(digits) == Some(&b'>') => &rest[digits + 1..],
            _ => bytes,
        };
        let text = Lossy(text.trim_ascii_end());
        match current() {
            Some(process) => match FromPrograms::now() {
                FromPrograms::Limited => log_limited!("user", "{process}: {text}"),
                FromPrograms::On => log!("user", "{process}: {text}"),
                FromPrograms::Off => {}
            },
            None => log!("user", "{text}"),
        }
        Ok(bytes.len())
    }

    fn ready(&self) -> Ready {
        match log::kept_line(self.next.load(Ordering::Relaxed), &mut []) {
            Some(_) => Ready::IN | Ready::OUT,
            None => Ready::OUT,
        }
    }
}
