//! The kernel program: what happens between the loader's jump and the first thread.
//!
//! The loader leaves the kernel on a stack of its own, with its own page tables and a direct map of all physical memory.
//! `quire_kernel::boot` goes on from there.

#![cfg(target_os = "none")]
#![no_std]
#![no_main]

use bootloader_api::config::Mapping;
use bootloader_api::info::MemoryRegion;
use bootloader_api::{BootInfo, BootloaderConfig};
use quire_kernel::boot;
use quire_machine::address_map::DIRECT_MAP;
use quire_machine::panic;

static CONFIGURATION: BootloaderConfig = {
    let mut configuration = BootloaderConfig::new_default();
    configuration.mappings.physical_memory = Some(Mapping::FixedAddress(DIRECT_MAP));
    // The rest of what the loader maps for itself stays in the kernel half, clear of Quire's own places.
    configuration.mappings.dynamic_range_start = Some(0xffff_f000_0000_0000);
    configuration.kernel_stack_size = 64 << 10;
    configuration
};

bootloader_api::entry_point!(begin, config = &CONFIGURATION);

#[expect(unsafe_code, reason = "the loader calls this")]
fn begin(info: &'static mut BootInfo) -> ! {
    let regions: &[MemoryRegion] = &info.memory_regions;
    // SAFETY: this is the loader's one call of the kernel, with the memory map that it made.
    unsafe { boot::begin(regions) }
}

#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    panic::report(info)
}
