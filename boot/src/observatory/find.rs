//! Finding the page that the kernel publishes.

use quire_protocol::observatory::{MAGIC, Page, VERSION};

use super::{
    error::ObservatoryError,
    memory::{PAGE, Physical},
};

/// How much is read at a time: a whole number of pages.
const PART: u64 = 1 << 20;

/// The physical address of the page, wherever in memory it is.
///
/// It is the one that says itself that it is there: what looks like it may be a copy, in the image on the boot disk or in what the
/// firmware has left.
pub(super) fn find(memory: &Physical) -> Result<u64, ObservatoryError> {
    let mut part = vec![0; PART as usize];
    for offset in (0..memory.length()).step_by(PART as usize) {
        let length = PART.min(memory.length() - offset) as usize;
        let address = memory.address_of(offset);
        memory.read("memory", address, &mut part[..length])?;
        for (start, page) in (address..).step_by(PAGE as usize).zip(part[..length].chunks(PAGE as usize)) {
            if Page::from_bytes(page).is_some_and(|page| page.magic == MAGIC && page.physical == start) {
                return Ok(start);
            }
        }
    }
    Err(ObservatoryError::NoKernel)
}

/// The page at a physical address, if it still is one that can be read here.
pub(super) fn read(memory: &Physical, address: u64) -> Result<Page, ObservatoryError> {
    let mut bytes = [0; Page::BYTES];
    memory.read("the published page", address, &mut bytes)?;
    let page = Page::from_bytes(&bytes).filter(|page| page.magic == MAGIC).ok_or(ObservatoryError::NoKernel)?;
    if page.version != VERSION || page.bytes != Page::BYTES as u64 {
        return Err(ObservatoryError::Version(page.version));
    }
    Ok(page)
}
