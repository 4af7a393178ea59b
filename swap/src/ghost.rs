//! The ghost swap device: swap space with nothing behind it (Linux's proposal: `/dev/ghostswap`, character device 1:13).
//!
//! Its slots are names. An area of it ([`Swap::swapon_without_disk`](crate::Swap::swapon_without_disk)) costs nothing while
//! it is empty; where its pages are is the business of its backend. What a program reads from the device is a swap header,
//! so that tools which look for one find it; nothing else reads that.
//!
//! The header's last page is that of memory; the area is as large as memory too, but rounded up to whole clusters.

use crate::geometry::CLUSTER_SLOTS;
use crate::header::{BadPages, Header};
use crate::page::PAGE_SIZE;

/// The device's path.
pub const PATH: &str = "/dev/ghostswap";
/// The largest area, in pages: 16 TiB.
pub const MOST_PAGES: u64 = 1 << u32::BITS;

/// Reads the device at `offset`, on a machine with so many frames; returns how many bytes. Positions behind the one page are
/// its end. Writing and positioning succeed and do nothing.
pub fn read(memory: u64, offset: u64, buffer: &mut [u8]) -> usize {
    let last_page = u32::try_from(memory.saturating_sub(1)).unwrap_or(u32::MAX);
    let header = Header { last_page, uuid: [0; 16], label: [0; 16], bad_pages: BadPages::new(&[]) };
    let mut page = [0; PAGE_SIZE];
    // A machine of one frame has no header to show, only zeros.
    let _ = header.encode(&mut page);
    let rest = usize::try_from(offset).ok().and_then(|offset| page.get(offset..)).unwrap_or_default();
    let length = rest.len().min(buffer.len());
    buffer[..length].copy_from_slice(&rest[..length]);
    length
}

/// The pages of an area for a machine with so many frames, unless it is given another size.
pub fn default_pages(memory: u64) -> u64 {
    memory.next_multiple_of(CLUSTER_SLOTS as u64)
}
