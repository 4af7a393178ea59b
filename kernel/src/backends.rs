//! The types of backends that the headers of areas can name.

use alloc::sync::Arc;
use core::fmt;

use quire_backends::{CryptType, LogType, crypt, log};
use quire_machine::random;
use quire_memory::swap;
use quire_swap::RegistryError;

/// There is no memory for a type, or it is known already.
#[derive(Debug)]
pub struct NoBackends(RegistryError);

impl fmt::Display for NoBackends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no types of backends: {:?}", self.0)
    }
}

/// Makes them known to swap.
///
/// # Errors
/// [`NoBackends`].
#[expect(clippy::disallowed_methods, reason = "once, as the kernel starts")]
pub fn start() -> Result<(), NoBackends> {
    let swap = swap::core();
    swap.register_type(log::LOG, Arc::new(LogType)).map_err(NoBackends)?;
    swap.register_type(crypt::CRYPT, Arc::new(CryptType::new(random::fill))).map_err(NoBackends)
}
