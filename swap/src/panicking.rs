//! Whether a panic is under way: values are dropped then that are half done, and what their `Drop` would find is no news. A second
//! panic would end the process without the words of the first.

#[cfg(not(target_os = "none"))]
extern crate std;

/// Whether this thread panics. A kernel that does ends, and drops nothing.
#[must_use]
#[inline]
pub fn is_panicking() -> bool {
    #[cfg(not(target_os = "none"))]
    return std::thread::panicking();
    #[cfg(target_os = "none")]
    return false;
}

/// `debug_assert!` for what may be called by a `Drop`: says nothing while a panic is under way.
macro_rules! assert_unless_panicking {
    ($holds:expr, $($why:tt)+) => {
        debug_assert!($holds || crate::panicking::is_panicking(), $($why)+)
    };
}

pub(crate) use assert_unless_panicking;
