//! The segment descriptors and the task state segment with its interrupt stacks.
//!
//! Double fault, page fault and NMI each have a stack of their own, so that a thread whose stack is exhausted still
//! gets a report. A page fault that can be served does not stay there: see [`super::trap`].

use core::cell::UnsafeCell;

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// The interrupt stack table's index of the double-fault stack.
pub const DOUBLE_FAULT_STACK: u16 = 0;
/// The interrupt stack table's index of the page-fault stack.
pub const PAGE_FAULT_STACK: u16 = 1;
/// The interrupt stack table's index of the NMI stack.
pub const NMI_STACK: u16 = 2;

const STACK_BYTES: usize = 16 << 10;

#[repr(align(4096))]
struct InterruptStack(UnsafeCell<[u8; STACK_BYTES]>);

// SAFETY: only the processor writes to these stacks, and only the one processor that they are given to.
unsafe impl Sync for InterruptStack {}

static STACKS: [InterruptStack; 3] = [const { InterruptStack(UnsafeCell::new([0; STACK_BYTES])) }; 3];
static TSS: Once<TaskStateSegment> = Once::new();
static GDT: Once<(GlobalDescriptorTable, [SegmentSelector; 3])> = Once::new();

/// Loads the descriptor tables.
pub fn start() {
    let tss = TSS.call_once(|| {
        let mut tss = TaskStateSegment::new();
        tss.interrupt_stack_table = core::array::from_fn(|index| match STACKS.get(index) {
            Some(stack) => VirtAddr::from_ptr(stack.0.get()) + STACK_BYTES as u64,
            None => VirtAddr::zero(),
        });
        tss
    });
    let (gdt, [code, data, task]) = GDT.call_once(|| {
        let mut gdt = GlobalDescriptorTable::new();
        let selectors = [
            gdt.append(Descriptor::kernel_code_segment()),
            gdt.append(Descriptor::kernel_data_segment()),
            gdt.append(Descriptor::tss_segment(tss)),
        ];
        (gdt, selectors)
    });
    gdt.load();
    // SAFETY: the selectors are those of the table just loaded, which lives for ever: ring-0 code and data, and a task
    // state segment that is not busy.
    unsafe {
        CS::set_reg(*code);
        SS::set_reg(*data);
        DS::set_reg(*data);
        ES::set_reg(*data);
        load_tss(*task);
    }
}
