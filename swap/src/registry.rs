//! What registers with swap by name: block drivers with swap operations of their own, and types of backends.
//!
//! A driver registers under its own identity (Linux: `swap_register_block_ops`, there for one driver only); several may.
//! `swapon` of one of a driver's disks takes the operations that the driver made for that disk, and the area owns them
//! until `swapoff`: unregistering cannot pull them from under it. Disks of other drivers get the block backend.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::disk::Disk;
use crate::heap::{self, NoMemory};
use crate::machine::{Level, Machine};
use crate::ops::SwapOps;
use crate::rank::Rank;
use crate::sync::Lock;

/// A block driver that swaps in its own way. Operations without a read or a write cannot be expressed.
pub trait BlockDriver<M: Machine>: Send + Sync {
    /// The operations for one of the driver's disks; none if this disk is to be used by the block backend after all.
    fn swap_ops(&self, disk: &Arc<dyn Disk<M>>) -> Option<Arc<dyn SwapOps<M>>>;
}

/// Why something was not registered, or not unregistered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// It is registered already.
    Taken(&'static str),
    /// It is not registered, while others are.
    NotRegistered(&'static str),
    /// No memory for one more.
    NoMemory,
}

impl From<NoMemory> for RegistryError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Everything of one kind that is registered.
pub(crate) struct Registry<M: Machine, V: ?Sized> {
    registered: Lock<Registered<V>, M, { Rank::Registry as u8 }>,
}

type Registered<V> = Vec<(&'static str, Arc<V>)>;

impl<M: Machine, V: ?Sized> Registry<M, V> {
    pub(crate) const fn new() -> Self {
        Self { registered: Lock::new(Vec::new()) }
    }

    pub(crate) fn register(&self, name: &'static str, value: Arc<V>) -> Result<(), RegistryError> {
        let mut registered = self.registered.lock();
        if registered.iter().any(|(taken, _)| *taken == name) {
            return Err(RegistryError::Taken(name));
        }
        if registered.len() == registered.capacity() {
            let mut larger = heap::vector::<M, _>(registered.len() + 4)?;
            registered.drain(..).for_each(|entry| heap::push(&mut larger, entry));
            *registered = larger;
        }
        heap::push(&mut registered, (name, value));
        Ok(())
    }

    pub(crate) fn unregister(&self, name: &'static str) -> Result<(), RegistryError> {
        let mut registered = self.registered.lock();
        if registered.is_empty() {
            return Ok(());
        }
        let Some(position) = registered.iter().position(|(other, _)| *other == name) else {
            drop(registered);
            M::log(Level::Warning, format_args!("{name} unregisters what it never registered"));
            return Err(RegistryError::NotRegistered(name));
        };
        let removed = registered.swap_remove(position);
        // Its own drop code runs without the lock.
        drop(registered);
        drop(removed);
        Ok(())
    }

    pub(crate) fn find(&self, wanted: impl Fn(&'static str) -> bool) -> Option<Arc<V>> {
        self.registered.lock().iter().find(|(name, _)| wanted(name)).map(|(_, value)| Arc::clone(value))
    }
}
