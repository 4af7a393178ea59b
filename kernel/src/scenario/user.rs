//! The user half as scenarios touch it: at addresses that they choose themselves.

use alloc::format;
use alloc::sync::Arc;
use core::ops::Range;

pub(super) use quire_machine::user::Fault;
use quire_machine::user::UserPtr;
use quire_memory::AddressSpace;
use quire_memory::advice::Advice;
use quire_swap::header::PAGE_SIZE;

use super::failure::Failure;

/// Where the pages of a [`space`] begin.
pub(super) const START: u64 = 0x10_0000_0000;

pub(super) const fn address(page: u64) -> u64 {
    START + page * PAGE_SIZE as u64
}

/// An address space with so many private pages.
pub(super) fn space(pages: u64) -> Result<Arc<AddressSpace>, Failure> {
    let space = AddressSpace::new()?;
    space.map_anonymous(START..address(pages)).map_err(|error| Failure(format!("cannot map: {error:?}")))?;
    Ok(space)
}

pub(super) fn advise(space: &AddressSpace, pages: Range<u64>, advice: Advice) -> Result<(), Failure> {
    let outcome = space.advise(address(pages.start)..address(pages.end), advice);
    outcome.map_err(|error| Failure(format!("{advice:?} was refused: {error:?}")))
}

pub(super) fn read(address: u64, to: &mut [u8]) -> Result<(), Fault> {
    UserPtr::new(address).read_bytes(to)
}

pub(super) fn write(address: u64, from: &[u8]) -> Result<(), Fault> {
    UserPtr::new(address).write_bytes(from)
}

pub(super) fn read_word(address: u64) -> Result<u64, Fault> {
    UserPtr::new(address).read()
}

pub(super) fn write_word(address: u64, word: u64) -> Result<(), Fault> {
    UserPtr::new(address).write(word)
}
