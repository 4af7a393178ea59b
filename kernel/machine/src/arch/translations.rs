//! What processors remember of page tables: which tables each uses, and who has to forget what was taken out of them.

use core::sync::atomic::{AtomicU32, Ordering};

pub use super::mmu::{active_root, forget_page, load};
use super::root::Root;
use super::{cpu, mmu, page_table};
use crate::event::{self, EventKind};
use crate::kernel_map;

/// Makes `to` the root in use instead of `from`, where none is the kernel's own, and forgets all translations that are not global.
///
/// Every root has the kernel's half, so code, data and stack stay mapped. A root that is in use is not freed: see
/// [`UserTables`](crate::user_tables::UserTables).
#[inline]
pub(crate) fn activate(from: Option<&Root>, to: Option<&Root>) {
    let own = 1 << cpu::this().number();
    let root = match to {
        Some(root) => {
            root.users().fetch_or(own, Ordering::SeqCst);
            root.frame()
        }
        None => kernel_map::root(),
    };
    // Before the load: what is marked meanwhile is perhaps remembered after it.
    STALE.fetch_and(!own, Ordering::SeqCst);
    // SAFETY: the kernel's code, data and stack stay mapped.
    unsafe { load(root) };
    if let Some(from) = from.filter(|from| from.frame() != root) {
        from.users().fetch_and(!own, Ordering::SeqCst);
    }
}

/// The processors that may remember what is in no table any more, a bit each.
static STALE: AtomicU32 = AtomicU32::new(0);

/// The processors that use a root may remember what was just taken out of its tables.
#[inline]
pub(crate) fn mark_stale(users: &AtomicU32) {
    let users = users.load(Ordering::SeqCst);
    // A processor takes its mark off before it forgets: one that is there still will be heeded.
    if users & !STALE.load(Ordering::SeqCst) != 0 {
        STALE.fetch_or(users, Ordering::SeqCst);
    }
}

/// Makes the processors forget what was taken out of tables that they use. No frame that was mapped is free before
/// this. Returns whether there were any.
#[inline]
pub fn flush_stale() -> bool {
    let any = STALE.load(Ordering::SeqCst) != 0;
    if any {
        flush_user_everywhere();
    }
    any
}

/// Makes the processors that use a root forget the page at `address`, whose PTE was just changed.
#[inline]
pub(crate) fn flush_page(address: u64, users: &AtomicU32) {
    let own = 1 << cpu::this().number();
    if users.load(Ordering::SeqCst) & !own != 0 {
        mark_stale(users);
        flush_stale();
    }
    forget_page(address);
}

/// Forgets all translations of the user half, on every processor that may remember one that is stale.
#[inline(never)]
pub fn flush_user_everywhere() {
    cpu::overtaken();
    event::note(EventKind::TlbFlush, 0, event::ALL);
    // Before they forget: what is marked meanwhile is perhaps remembered after it. Where processors are interrupted one after the
    // other, each takes its own mark off.
    let stale = STALE.swap(0, Ordering::SeqCst);
    mmu::forget_user();
    mmu::forget_user_on(stale & !(1 << cpu::this().number()));
}

/// How many words of the user half of the root in use say something.
pub fn used_user_words() -> usize {
    // SAFETY: the root in use is a root table, and stays while it is.
    let root = unsafe { page_table::table(active_root()) };
    root[..256].iter().filter(|word| word.load(Ordering::Relaxed) != 0).count()
}
