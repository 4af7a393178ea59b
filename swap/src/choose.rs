//! Which backend an area gets: the header's choice, else the driver's, else the block backend.

use alloc::sync::Arc;

use crate::backend::{BLOCK_TYPE, BackendError, Opening, Settings, Types};
use crate::block::BlockBackend;
use crate::extension::{BackendOptions, Extension, TypeName};
use crate::heap;
use crate::machine::Machine;
use crate::ops::SwapOps;
use crate::swap::Swap;

/// Its one version: a page of the area is a page of the disk.
const BLOCK_VERSION: u32 = 1;

const BLOCK: TypeName = TypeName::new(BLOCK_TYPE).unwrap();

/// The block backend's one option: `auto` lets the device say whether it is synchronous, `no` treats it as if it were not.
const SYNCHRONOUS: &str = "synchronous";

impl<M: Machine> Swap<M> {
    pub(crate) fn backend(
        &self,
        opening: &Opening<'_, M>,
        extension: Option<Extension<'_>>,
        overrides: BackendOptions<'_>,
    ) -> Result<Arc<dyn SwapOps<M>>, BackendError> {
        let block = Extension { backend: BLOCK, version: BLOCK_VERSION, options: BackendOptions("") };
        let Extension { backend, version, options } = extension.unwrap_or(block);
        self.open(opening, backend, &Settings::new(version, options, overrides))
    }

    fn block_backend(
        &self,
        opening: &Opening<'_, M>,
        settings: &Settings<'_>,
    ) -> Result<Arc<dyn SwapOps<M>>, BackendError> {
        if let Some(key) = settings.keys().find(|key| *key != SYNCHRONOUS) {
            return Err(BackendError::option(key));
        }
        let block: fn(_) -> _ = match settings.get(SYNCHRONOUS) {
            None | Some("auto") => BlockBackend::new,
            Some("no") => BlockBackend::asynchronous,
            Some(_) => return Err(BackendError::option(SYNCHRONOUS)),
        };
        let disk = opening.disk;
        let driver = self.drivers.find(|name| name == disk.driver().0).filter(|_| !opening.is_file);
        if let Some(ops) = driver.and_then(|driver| driver.swap_ops(disk)) {
            return Ok(ops);
        }
        Ok(heap::arc::<M, _>(block(Arc::clone(disk)))?)
    }
}

impl<M: Machine> Types<M> for Swap<M> {
    fn open(
        &self,
        opening: &Opening<'_, M>,
        backend: TypeName,
        settings: &Settings<'_>,
    ) -> Result<Arc<dyn SwapOps<M>>, BackendError> {
        let check = |versions: core::ops::RangeInclusive<u32>, is_overridable: &dyn Fn(&str) -> bool| {
            if !versions.contains(&settings.version) {
                return Err(BackendError::UnknownVersion(backend, settings.version));
            }
            match settings.overrides().find(|key| !is_overridable(key)) {
                Some(key) => Err(BackendError::not_overridable(key)),
                None => Ok(()),
            }
        };
        if backend == BLOCK {
            check(BLOCK_VERSION..=BLOCK_VERSION, &|key| key == SYNCHRONOUS)?;
            return self.block_backend(opening, settings);
        }
        let opener = self.types.find(|name| TypeName::new(name) == Some(backend));
        let opener = opener.ok_or(BackendError::UnknownType(backend))?;
        if opening.is_file && !opener.works_in_file() {
            return Err(BackendError::NotInFile(backend));
        }
        check(opener.versions(), &|key| opener.is_overridable(key))?;
        opener.open(opening, settings)
    }
}
