//! Areas whose headers name a type.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use quire_backends::{CryptType, LogType, crypt, log};
use quire_swap::extension::{BackendOptions, Extension, TypeName};
use quire_swap::{Disk, Swap, SwapOnError, SwapOnOptions};

use quire_testkit::{Fake, FakeDisk, new_swap};

/// Swap that knows the types.
pub fn swap_with_types() -> &'static Swap<Fake> {
    let swap = new_swap();
    swap.register_type(log::LOG, Arc::new(LogType)).unwrap();
    swap.register_type(crypt::CRYPT, Arc::new(CryptType::new(random))).unwrap();
    swap
}

/// Never the same twice, and never zeros.
fn random(bytes: &mut [u8]) {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    bytes.fill(NEXT.fetch_add(1, Ordering::Relaxed) | 1);
    bytes[0] = NEXT.fetch_add(1, Ordering::Relaxed);
}

/// Writes what `mkswap` would.
pub fn make(disk: &FakeDisk, name: &str, options: &str) {
    let mut page = disk.page(0);
    let backend = TypeName::new(name).unwrap();
    Extension { backend, version: 1, options: BackendOptions(options) }.encode(&mut page).unwrap();
    disk.set_page(0, &page);
}

/// Makes a disk an area of the type, and enables it.
pub fn enable(swap: &Swap<Fake>, disk: &Arc<FakeDisk>, name: &str, options: &str) -> Result<u8, SwapOnError> {
    make(disk, name, options);
    let disk: Arc<dyn Disk<Fake>> = disk.clone();
    swap.swapon(&disk, SwapOnOptions::default())
}

/// What the backend of an area counts.
pub fn counts(swap: &Swap<Fake>, index: u8) -> HashMap<&'static str, u64> {
    let mut counts = HashMap::new();
    let area = swap.area(index).unwrap();
    area.ops().show_counts(&mut |name, count| assert_eq!(counts.insert(name, count), None));
    counts
}
