//! A page of an object is touched.

use super::install::{install, install_new, map_folio};
use super::seen::{Seen, Undone, new_frame};
use super::served::FaultService;
use crate::address_space::AddressSpace;
use crate::fatal::Fatal;
use crate::object::pages::LockedPage;
use crate::object::{self, ObjectError};
use crate::page_tables::Mapping;
use crate::rmap::RmapLink;

/// Maps the page, or a copy of it that may be written.
pub(super) fn map_object(space: &AddressSpace, seen: &Seen<'_>, link: &RmapLink) -> Result<FaultService, Undone> {
    let Some(object) = link.object() else { return Err(Undone::Fatal(Fatal::NotMapped(seen.page))) };
    let found = object.page(link.index(seen.page)).map_err(|error| match error {
        // As on Linux, a page that a file may not have is one that the mapping does not have.
        ObjectError::BeyondEnd | ObjectError::NoPromise => Fatal::BeyondObject(seen.page),
        ObjectError::NoMemory | ObjectError::Killed => Fatal::OutOfMemory,
        ObjectError::NoSpace => Fatal::NoSpace(seen.page),
        ObjectError::ReadFailed(entry) => Fatal::ReadFailed(entry),
    })?;
    let LockedPage { folio, was_read } = found;
    let kind = if was_read { FaultService::Read } else { FaultService::Object };
    if seen.write && !seen.shared {
        // Its contents are as of now; the lock is not kept while a frame is looked for.
        let original = folio.unlock();
        let mut copy = new_frame()?;
        copy.copy_from(&original);
        let _ = install_new(space, seen, 0, copy.filled())?;
        return Ok(kind);
    }
    let how = Mapping::of(seen.shared && seen.protection.write, seen.write);
    let _ = install(space, seen, 0, Some(&folio), || Some(map_folio(seen, &folio, how)))?;
    if how != Mapping::ReadOnly {
        // It may differ from its source and from its slot at any moment from now on.
        object::written_to(&folio);
    }
    // An object lists its pages itself.
    seen.list(&folio, |_| {});
    Ok(kind)
}
