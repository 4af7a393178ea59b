//! A block of a file system for a page of an object.

use crate::quota::Quota;

/// A block that was taken for a page; released unless the page takes its place in the object.
pub(crate) struct Block<'a>(pub(crate) Option<&'a Quota>);

impl Block<'_> {
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        if let Some(blocks) = self.0 {
            blocks.release(1);
        }
    }
}
