//! Paging and reclaim: which page is in memory, where the others are, and which one goes.

#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

pub mod policy;
pub mod quota;
pub mod trace;
