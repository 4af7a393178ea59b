//! Agreeing with the device on features, and reading what it can do.

use core::num::NonZeroU32;

use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};

use super::queue::{QUEUE, QUEUE_SIZE};
use crate::block::{DiskNumber, Geometry, MAX_SEGMENTS};

/// Feature bits (sections 5.2.3 and 6).
pub(super) mod feature {
    pub(crate) const SEG_MAX: u64 = 1 << 2;
    pub(crate) const READ_ONLY: u64 = 1 << 5;
    pub(crate) const FLUSH: u64 = 1 << 9;
    pub(crate) const DISCARD: u64 = 1 << 13;
    pub(crate) const INDIRECT: u64 = 1 << 28;
    pub(crate) const VERSION_1: u64 = 1 << 32;
    pub(crate) const SUPPORTED: u64 = SEG_MAX | READ_ONLY | FLUSH | DISCARD | INDIRECT | VERSION_1;
}

/// Offsets in the device's configuration (section 5.2.4).
mod configuration {
    pub(crate) const CAPACITY_LOW: usize = 0;
    pub(crate) const CAPACITY_HIGH: usize = 4;
    pub(crate) const SEG_MAX: usize = 12;
    pub(crate) const MAX_DISCARD_SECTORS: usize = 36;
}

/// Why a device could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Not a block device but this.
    #[error("{disk}: the device is a {kind:?}")]
    WrongKind {
        /// The disk it was to become.
        disk: DiskNumber,
        /// What it is.
        kind: DeviceType,
    },
    /// The device does not speak virtio 1 or later.
    #[error("{disk}: the device does not offer virtio 1")]
    Legacy {
        /// The disk it was to become.
        disk: DiskNumber,
    },
    /// The device did not accept a subset of what it offered.
    #[error("{disk}: the device refused the features {features:#x}")]
    FeaturesRefused {
        /// The disk it was to become.
        disk: DiskNumber,
        /// The feature bits.
        features: u64,
    },
    /// The device does not say its size or limits, or there is no memory for the queue.
    #[error("{disk}: {cause}")]
    Virtio {
        /// The disk it was to become.
        disk: DiskNumber,
        /// What virtio-drivers says.
        cause: virtio_drivers::Error,
    },
    /// The device's queue has fewer places than [`QUEUE_SIZE`].
    #[error("{disk}: a queue of {places} places is too short")]
    ShortQueue {
        /// The disk it was to become.
        disk: DiskNumber,
        /// How many places it has.
        places: u32,
    },
    /// The transport could not enable the queue, for example because the device refused its interrupt vector.
    #[error("{disk}: the queue could not be enabled")]
    QueueRefused {
        /// The disk it was to become.
        disk: DiskNumber,
    },
    /// There is no memory for the requests' headers.
    #[error("{disk}: no memory for request headers")]
    NoMemory {
        /// The disk it was to become.
        disk: DiskNumber,
    },
}

/// Agrees on features and reads what the disk can do; also says whether there are indirect descriptors.
pub(super) fn negotiate<T: Transport>(transport: &mut T, disk: DiskNumber) -> Result<(Geometry, bool), StartError> {
    let kind = transport.device_type();
    if kind != DeviceType::Block {
        return Err(StartError::WrongKind { disk, kind });
    }
    transport.set_status(DeviceStatus::empty());
    transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER);
    let features = transport.read_device_features() & feature::SUPPORTED;
    if features & feature::VERSION_1 == 0 {
        return Err(StartError::Legacy { disk });
    }
    transport.write_driver_features(features);
    transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER | DeviceStatus::FEATURES_OK);
    if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
        return Err(StartError::FeaturesRefused { disk, features });
    }
    let places = transport.max_queue_size(QUEUE);
    if (places as usize) < QUEUE_SIZE {
        return Err(StartError::ShortQueue { disk, places });
    }
    let offered = |bit| features & bit != 0;
    let read = |offset| transport.read_config_space::<u32>(offset).map_err(|cause| StartError::Virtio { disk, cause });
    let seg_max = if offered(feature::SEG_MAX) { read(configuration::SEG_MAX)? as usize } else { MAX_SEGMENTS };
    let max_discard = if offered(feature::DISCARD) { read(configuration::MAX_DISCARD_SECTORS)? } else { 0 };
    let geometry = Geometry {
        sectors: u64::from(read(configuration::CAPACITY_HIGH)?) << 32 | u64::from(read(configuration::CAPACITY_LOW)?),
        read_only: offered(feature::READ_ONLY),
        volatile_cache: offered(feature::FLUSH),
        max_discard_sectors: NonZeroU32::new(max_discard),
        max_segments: seg_max.clamp(1, MAX_SEGMENTS),
    };
    Ok((geometry, offered(feature::INDIRECT)))
}
