//! Why a scenario failed, and how it says so.

use alloc::format;
use alloc::string::String;
use core::fmt;

/// Why a scenario failed, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(format!("{error}"))
    }
}

/// Fails a scenario unless `condition` holds.
#[macro_export]
macro_rules! require {
    ($condition:expr, $($why:tt)*) => {
        if !$condition {
            return Err($crate::scenario::failure::Failure(alloc::format!($($why)*)));
        }
    };
}
