//! The user half as scenarios touch it: at addresses that they choose themselves.

pub(super) use quire_machine::user::Fault;
use quire_machine::user::UserPtr;

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
