//! Tests of the backends that headers name, on a machine made of ordinary memory.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")]
#![allow(unreachable_pub, reason = "a test crate exports nothing")]

mod crypt;
mod log;
#[path = "../../../tests/core/model.rs"]
#[allow(dead_code, reason = "the core's own test is made with the rest")]
mod model;
mod schedules;
#[path = "../../../tests/core/shelf.rs"]
#[allow(dead_code, reason = "the core's own tests use the rest")]
mod shelf;
mod typed;
mod types;
