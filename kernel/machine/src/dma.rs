//! Memory and registers for drivers: the kernel's side of [`quire_drivers::Hal`].

use core::ptr::NonNull;

use quire_drivers::{BufferDirection, PhysAddr, VirtioHal};
use quire_swap::header::{PAGE_SIZE, Page};

use crate::address_map::DIRECT_MAP;
use crate::frame::{FrameNumber, Kind};
use crate::kernel_map;
use crate::physical;
use crate::unique::UniqueFrame;
use crate::watermark::Purpose;

/// The kernel as the drivers see it.
#[derive(Debug)]
pub struct KernelHal;

/// Where a page of memory lies in physical memory, if it is in the direct map, as frames and the heap are.
pub fn physical_address(page: *const Page) -> Option<PhysAddr> {
    let end = (physical::frames().len() * PAGE_SIZE) as u64;
    (page as u64).checked_sub(DIRECT_MAP).filter(|address| *address < end)
}

fn order(pages: usize) -> u8 {
    pages.next_power_of_two().trailing_zeros() as u8
}

fn direct(physical: PhysAddr) -> NonNull<u8> {
    NonNull::new((DIRECT_MAP + physical) as *mut u8).expect("the direct map is not at address 0")
}

// SAFETY: DMA memory is a block of the buddy allocator, contiguous, zeroed and given to nothing else; registers are mapped
// uncached for ever; `share` is given pointers into the direct map only: frames, DMA memory and the heap all lie there,
// and the direct map is contiguous in physical memory.
unsafe impl VirtioHal for KernelHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let Some(mut block) = UniqueFrame::allocate(order(pages), Kind::Device, Purpose::Kernel) else {
            return (0, NonNull::dangling());
        };
        block.bytes_mut()[..pages * PAGE_SIZE].fill(0);
        let physical = block.into_number().address();
        (physical, direct(physical))
    }

    unsafe fn dma_dealloc(physical: PhysAddr, _virtual: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: the caller frees what `dma_alloc` gave for as many pages.
        drop(unsafe { UniqueFrame::from_number(FrameNumber::containing(physical), order(pages)) });
        0
    }

    unsafe fn mmio_phys_to_virt(physical: PhysAddr, bytes: usize) -> NonNull<u8> {
        let address = kernel_map::map_registers(physical, bytes).expect("memory for device registers' page tables");
        NonNull::new(address as *mut u8).expect("device registers are not mapped at address 0")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        let address = buffer.as_ptr().cast::<u8>() as u64;
        debug_assert!(
            (DIRECT_MAP..crate::address_map::MMIO).contains(&address),
            "{address:#x} is not in the direct map"
        );
        address - DIRECT_MAP
    }

    unsafe fn unshare(_physical: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}

// SAFETY: the direct map reaches all RAM that Quire manages.
unsafe impl quire_drivers::Hal for KernelHal {
    unsafe fn physical_to_virtual(physical: PhysAddr, _bytes: usize) -> NonNull<u8> {
        direct(physical)
    }
}
