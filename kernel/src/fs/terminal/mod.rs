//! Terminals: what is typed becomes lines, signals and echo; what programs write becomes what the terminal shows.
//!
//! The pure part is [`discipline`] with its [`settings`].

pub mod discipline;
pub mod settings;
#[cfg(test)]
mod tests;
