//! The devices that there are: adding, removing, finding.

use alloc::sync::Arc;
use alloc::vec::Vec;

use quire_swap::sync::Lock;
use quire_swap::{BlockDriver, Disk, RegistryError, Swap, SwapOps, heap};

use super::attributes::Zram;
use super::disk::ZramDisk;
use super::error::ZramError;
use super::ops::ZRAM;
use crate::machine::PoolMachine;
use crate::ranks;

/// All zram devices: `/sys/class/zram-control`.
pub struct Control<M: PoolMachine> {
    devices: Lock<Vec<Arc<Zram<M>>>, M, { ranks::CONTROL as u8 }>,
}

impl<M: PoolMachine> Control<M> {
    /// Registers zram with swap. There is no device yet.
    ///
    /// # Errors
    /// If the operations cannot be registered; there is no zram then.
    pub fn start(swap: &Swap<M>) -> Result<Arc<Self>, RegistryError> {
        let control = heap::arc::<M, _>(Self { devices: Lock::new(Vec::new()) })?;
        swap.register(ZRAM, control.clone())?;
        Ok(control)
    }

    /// Adds a device without a size and says its number (Linux: reading `hot_add`).
    ///
    /// # Errors
    /// [`ZramError::NoMemory`].
    pub fn hot_add(&self) -> Result<u32, ZramError> {
        let mut devices = self.devices.lock();
        let is_free = |number: &u32| devices.iter().all(|device| device.number() != *number);
        let number = (0..u32::MAX).find(is_free).ok_or(ZramError::NoMemory)?;
        let device = heap::arc::<M, _>(Zram::new(number, heap::format::<M>(format_args!("/dev/zram{number}"))?)?)?;
        if !M::may_allocate(size_of::<Arc<Zram<M>>>()) || devices.try_reserve(1).is_err() {
            return Err(ZramError::NoMemory);
        }
        heap::push(&mut devices, device);
        Ok(number)
    }

    /// Removes a device that is not in use (Linux: writing its number to `hot_remove`).
    ///
    /// # Errors
    /// [`ZramError::Invalid`] for what is no number, [`ZramError::NoDevice`], [`ZramError::Busy`].
    pub fn hot_remove(&self, text: &str) -> Result<(), ZramError> {
        let number: u32 = text.trim_ascii().parse().map_err(|_| ZramError::Invalid)?;
        let mut devices = self.devices.lock();
        let position = devices.iter().position(|device| device.number() == number).ok_or(ZramError::NoDevice)?;
        devices[position].reset()?;
        let removed = devices.swap_remove(position);
        drop(devices);
        drop(removed);
        Ok(())
    }

    /// Every device there is now.
    ///
    /// # Errors
    /// [`ZramError::NoMemory`].
    pub fn devices(&self) -> Result<Vec<Arc<Zram<M>>>, ZramError> {
        let devices = self.devices.lock();
        Ok(heap::copy::<M, _>(&devices)?)
    }

    /// The device `zramN` or `/dev/zramN`.
    pub fn device(&self, name: &str) -> Option<Arc<Zram<M>>> {
        let number = name.strip_prefix("/dev/").unwrap_or(name).strip_prefix("zram")?;
        let is_named = |device: &&Arc<Zram<M>>| number.parse() == Ok(device.number());
        self.devices.lock().iter().find(is_named).cloned()
    }

    /// The device with this name, for use, if it has a size.
    pub fn open(&self, name: &str) -> Option<Arc<ZramDisk<M>>> {
        self.device(name)?.open()
    }
}

impl<M: PoolMachine> BlockDriver<M> for Control<M> {
    fn swap_ops(&self, disk: &Arc<dyn Disk<M>>) -> Option<Arc<dyn SwapOps<M>>> {
        let disk: Arc<dyn SwapOps<M>> = self.open(disk.name())?;
        Some(disk)
    }
}
