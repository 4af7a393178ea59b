//! The registry of swap operations that block drivers bring (Linux: `swap_register_block_ops`).
//!
//! A driver registers under its own identity; several drivers may. `swapon` of one of a driver's disks takes the
//! operations that the driver made for that disk, and the area owns them until `swapoff`: unregistering cannot pull them
//! from under it. Disks of other drivers get the block backend.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::disk::Disk;
use crate::errno::Errno;
use crate::heap::{self, NoMemory};
use crate::machine::{Level, Machine};
use crate::ops::SwapOps;
use crate::sync::{Lock, Rank};

/// A block driver's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DriverId(pub &'static str);

/// A block driver that swaps in its own way. Operations without a read or a write cannot be expressed.
pub trait BlockDriver<M: Machine>: Send + Sync {
    /// The operations for one of the driver's disks; none if this disk is to be used by the block backend after all.
    fn swap_ops(&self, disk: &Arc<dyn Disk<M>>) -> Option<Arc<dyn SwapOps<M>>>;
}

/// Why a driver's operations were not registered, or not unregistered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// The driver registered before.
    Taken(DriverId),
    /// The driver is not registered, while others are.
    NotRegistered(DriverId),
    /// No memory for one more driver.
    NoMemory,
}

impl RegistryError {
    /// What the driver's author sees.
    pub const fn errno(self) -> Errno {
        match self {
            Self::Taken(_) => Errno::Busy,
            Self::NotRegistered(_) => Errno::Invalid,
            Self::NoMemory => Errno::NoMemory,
        }
    }
}

impl From<NoMemory> for RegistryError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

type Drivers<M> = Vec<(DriverId, Arc<dyn BlockDriver<M>>)>;

/// All registered drivers.
pub(crate) struct Registry<M: Machine> {
    drivers: Lock<Drivers<M>, M, { Rank::Registry as u8 }>,
}

impl<M: Machine> Registry<M> {
    pub(crate) const fn new() -> Self {
        Self { drivers: Lock::new(Vec::new()) }
    }

    pub(crate) fn register(&self, id: DriverId, driver: Arc<dyn BlockDriver<M>>) -> Result<(), RegistryError> {
        let mut drivers = self.drivers.lock();
        if drivers.iter().any(|(taken, _)| *taken == id) {
            return Err(RegistryError::Taken(id));
        }
        if drivers.len() == drivers.capacity() {
            let mut larger = heap::vector::<M, _>(drivers.len() + 4)?;
            larger.append(&mut drivers);
            *drivers = larger;
        }
        drivers.push((id, driver));
        Ok(())
    }

    pub(crate) fn unregister(&self, id: DriverId) -> Result<(), RegistryError> {
        let mut drivers = self.drivers.lock();
        if drivers.is_empty() {
            return Ok(());
        }
        let Some(position) = drivers.iter().position(|(registered, _)| *registered == id) else {
            drop(drivers);
            M::log(Level::Warning, format_args!("swap: {} unregisters operations that it never registered", id.0));
            return Err(RegistryError::NotRegistered(id));
        };
        let removed = drivers.swap_remove(position);
        // The driver's own drop code runs without the lock.
        drop(drivers);
        drop(removed);
        Ok(())
    }

    pub(crate) fn swap_ops(&self, disk: &Arc<dyn Disk<M>>) -> Option<Arc<dyn SwapOps<M>>> {
        let id = disk.driver();
        let driver = self.drivers.lock().iter().find(|(registered, _)| *registered == id)?.1.clone();
        driver.swap_ops(disk)
    }
}
