//! Tests of the backends that headers name, on a machine made of ordinary memory.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")]
#![allow(unreachable_pub, reason = "a test crate exports nothing")]

mod crypt;
mod log;
mod schedules;
mod typed;
mod types;
