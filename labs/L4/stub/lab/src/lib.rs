//! The policies of Quire's kernel, in which yours is one more, and what tests them on the host. This file is given.
//!
//! The files of `policy` and of `frame` are the kernel's own. Each `use crate::policy::…` in them, and in yours, means the same here
//! and there; the crate of the machine, of which they need the frames alone, is this one.

#![forbid(unsafe_code)]

extern crate self as quire_machine;

#[path = "../../kernel/machine/src/frame.rs"]
#[allow(dead_code, reason = "what else the kernel uses")]
pub mod frame;

impl std::fmt::Debug for frame::Folio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("folio")
    }
}

#[path = "../../kernel/memory/src/policy/mod.rs"]
#[allow(dead_code, unused_imports, reason = "what else the kernel uses")]
pub mod policy;
pub mod rules;
