//! The PC's real-time clock (MC146818 and what followed it): date and time while the machine is off, to the second.
//!
//! It is taken to run in UTC, as QEMU's does unless told otherwise, and in this century.

use x86_64::instructions::port::Port;

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;

/// Seconds, minutes, hours, day of the month, month, year without the century.
const TIME: [u8; 6] = [0x00, 0x02, 0x04, 0x07, 0x08, 0x09];
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
/// In [`STATUS_A`]: the registers are about to change.
const CHANGING: u8 = 1 << 7;
/// In [`STATUS_B`]: hours go to 23, and numbers are binary.
const HOURS_24: u8 = 1 << 1;
const BINARY: u8 = 1 << 2;
/// In the hours, when they go to 12.
const AFTERNOON: u8 = 1 << 7;

/// How often to look before giving up: the registers change once a second, for two milliseconds.
const PATIENCE: u32 = 100_000;

/// Seconds since 1970 by the clock; `None` if it does not run or tells no time.
///
/// # Safety
///
/// Nothing else uses ports 0x70 and 0x71 meanwhile.
pub unsafe fn read() -> Option<u64> {
    let register = |index: u8| {
        // SAFETY: the ports are the clock's, which the caller keeps others away from; the registers are only read.
        unsafe {
            Port::<u8>::new(INDEX).write(index);
            Port::<u8>::new(DATA).read()
        }
    };
    read_from(register)
}

fn read_from(mut register: impl FnMut(u8) -> u8) -> Option<u64> {
    for _ in 0..PATIENCE {
        if register(STATUS_A) & CHANGING != 0 {
            continue;
        }
        let time = TIME.map(&mut register);
        let format = register(STATUS_B);
        // Read twice, in case it changed in between after all.
        if time == TIME.map(&mut register) {
            return seconds_since_1970(time, format);
        }
    }
    None
}

fn seconds_since_1970([seconds, minutes, hours, day, month, year]: [u8; 6], format: u8) -> Option<u64> {
    let number = |value: u8| match value {
        value if format & BINARY != 0 => Some(u64::from(value)),
        value if value >> 4 <= 9 && value & 0xf <= 9 => Some(u64::from(value >> 4) * 10 + u64::from(value & 0xf)),
        _ => None,
    };
    let hours = match (format & HOURS_24, hours & AFTERNOON) {
        (0, half) => number(hours & !AFTERNOON)? % 12 + if half == 0 { 0 } else { 12 },
        _ => number(hours)?,
    };
    let [seconds, minutes, day, month, year] = [seconds, minutes, day, month, year].map(number);
    let (seconds, minutes, day, month, year) = (seconds?, minutes?, day?, month?, year?);
    let exists = seconds <= 60
        && minutes <= 59
        && hours <= 23
        && (1..=31).contains(&day)
        && (1..=12).contains(&month)
        && year <= 99;
    exists.then(|| ((days_since_1970(2000 + year, month, day) * 24 + hours) * 60 + minutes) * 60 + seconds)
}

/// Days from March of the year 0 to the beginning of 1970.
const EPOCH: u64 = 719_468;

/// Days from the beginning of 1970 to a day of this century.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    // Counted from March, so that the day that some years have more is a year's last.
    let (year, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_before_year = year * 365 + year / 4 - year / 100 + year / 400;
    days_before_year + (153 * months + 2) / 5 + day - 1 - EPOCH
}

#[cfg(test)]
mod tests {
    use super::{AFTERNOON, BINARY, CHANGING, HOURS_24, STATUS_A, STATUS_B, TIME, read_from, seconds_since_1970};

    /// The expected numbers are those of `date -u -d … +%s`.
    #[test]
    fn dates_become_seconds() {
        let cases = [
            ([0, 0, 0, 1, 1, 0], 946_684_800),
            ([59, 59, 23, 29, 2, 24], 1_709_251_199),
            ([0, 0, 0, 1, 3, 24], 1_709_251_200),
            ([30, 45, 12, 20, 11, 26], 1_795_178_730),
            ([59, 59, 23, 31, 12, 99], 4_102_444_799),
        ];
        for (time, expected) in cases {
            assert_eq!(seconds_since_1970(time, BINARY | HOURS_24), Some(expected), "{time:?}");
        }
    }

    #[test]
    fn every_format_is_understood() {
        let expected = Some(1_795_178_730 + 3600);
        assert_eq!(seconds_since_1970([0x30, 0x45, 0x13, 0x20, 0x11, 0x26], HOURS_24), expected);
        assert_eq!(seconds_since_1970([0x30, 0x45, AFTERNOON | 0x01, 0x20, 0x11, 0x26], 0), expected);
        assert_eq!(seconds_since_1970([30, 45, AFTERNOON | 1, 20, 11, 26], BINARY), expected);
        assert_eq!(seconds_since_1970([0, 0, 12, 1, 1, 0], BINARY), Some(946_684_800), "midnight");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for time in [[0x1f, 0, 0, 1, 1, 0], [0, 0x60, 0, 1, 1, 0], [0, 0, 0x24, 1, 1, 0], [0, 0, 0, 0, 1, 0]] {
            assert_eq!(seconds_since_1970(time, HOURS_24), None, "{time:x?}");
        }
        assert_eq!(read_from(|_| 0xff), None, "there is no clock");
    }

    #[test]
    fn a_time_that_changes_while_it_is_read_is_read_again() {
        let mut reads = 0;
        let seconds = read_from(|register| {
            reads += 1;
            match register {
                STATUS_A if reads < 3 => CHANGING,
                STATUS_B => HOURS_24 | BINARY,
                register if register == TIME[0] => u8::from(reads >= 8),
                register if register == TIME[3] || register == TIME[4] => 1,
                _ => 0,
            }
        });
        assert_eq!(seconds, Some(946_684_801));
    }
}
