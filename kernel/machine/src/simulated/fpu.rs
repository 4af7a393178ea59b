//! The registers that a program has and the kernel does not use: a test's programs have none.

/// The registers of no program.
#[derive(Debug)]
pub enum UserState {}

impl UserState {
    /// Saves the registers.
    ///
    /// # Safety
    /// None: there is no value.
    pub(crate) unsafe fn save(&self) {
        match *self {}
    }

    /// Loads the registers.
    ///
    /// # Safety
    /// None: there is no value.
    pub(crate) unsafe fn restore(&self) {
        match *self {}
    }
}
