//! What is asked of a policy that sees every access.

/// A memory under a policy that sees every access.
pub(in crate::policy) trait Memory {
    /// Accesses a page; whether it was in memory.
    fn access(&mut self, page: u32) -> bool;
}
