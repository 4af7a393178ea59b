//! The segment descriptors and the task state segment with the stacks that the processor changes to by itself.
//!
//! A trap from ring 3 arrives on the current thread's kernel stack, from its top; `set_kernel_stack` says where that is.
//! A trap from the kernel stays on the stack that it interrupted, but for double faults, NMIs and machine checks, which have
//! stacks of their own, so that a thread whose stack is exhausted still gets a report.

use core::cell::UnsafeCell;

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// The interrupt stack table's index of the double-fault stack.
pub const DOUBLE_FAULT_STACK: u16 = 0;
/// The interrupt stack table's index of the NMI stack.
pub const NMI_STACK: u16 = 1;
/// The interrupt stack table's index of the machine-check stack.
pub const MACHINE_CHECK_STACK: u16 = 2;

/// The selectors, in the order that `syscall` and `sysret` want (Intel SDM volume 2, SYSCALL and SYSRET).
pub const KERNEL_CODE: u16 = 0x08;
/// The kernel's data and stack segment.
pub const KERNEL_DATA: u16 = 0x10;
/// The programs' data and stack segment, for ring 3.
pub const USER_DATA: u16 = 0x18 | 3;
/// The programs' code segment, for ring 3.
pub const USER_CODE: u16 = 0x20 | 3;

const STACK_BYTES: usize = 16 << 10;

#[repr(align(4096))]
struct InterruptStack(UnsafeCell<[u8; STACK_BYTES]>);

// SAFETY: only the processor writes to these stacks, and only the one processor that they are given to.
unsafe impl Sync for InterruptStack {}

struct TaskState(UnsafeCell<TaskStateSegment>);

// SAFETY: one processor has it; that processor alone changes it, with interrupts off, and reads it only in a trap.
unsafe impl Sync for TaskState {}

static STACKS: [InterruptStack; 3] = [const { InterruptStack(UnsafeCell::new([0; STACK_BYTES])) }; 3];
static TSS: TaskState = TaskState(UnsafeCell::new(TaskStateSegment::new()));
static GDT: Once<(GlobalDescriptorTable, SegmentSelector)> = Once::new();

/// Loads the descriptor tables.
pub fn start() {
    let (gdt, task) = GDT.call_once(|| {
        let mut gdt = GlobalDescriptorTable::new();
        gdt.append(Descriptor::kernel_code_segment());
        gdt.append(Descriptor::kernel_data_segment());
        gdt.append(Descriptor::user_data_segment());
        gdt.append(Descriptor::user_code_segment());
        // SAFETY: nothing else uses the segment before it is loaded below, and it is never moved.
        let tss = unsafe {
            (*TSS.0.get()).interrupt_stack_table = core::array::from_fn(|index| match STACKS.get(index) {
                Some(stack) => VirtAddr::from_ptr(stack.0.get()) + STACK_BYTES as u64,
                None => VirtAddr::zero(),
            });
            Descriptor::tss_segment_unchecked(TSS.0.get())
        };
        let task = gdt.append(tss);
        (gdt, task)
    });
    gdt.load();
    // SAFETY: the selectors are those of the table just loaded, which lives for ever: ring-0 code and data, and a task
    // state segment that is not busy.
    unsafe {
        CS::set_reg(SegmentSelector(KERNEL_CODE));
        SS::set_reg(SegmentSelector(KERNEL_DATA));
        DS::set_reg(SegmentSelector(KERNEL_DATA));
        ES::set_reg(SegmentSelector(KERNEL_DATA));
        load_tss(*task);
    }
}

/// Makes traps from ring 3 arrive on the stack that ends at `top`. Interrupts are off.
pub(super) fn set_kernel_stack(top: u64) {
    // SAFETY: this processor reads the segment only in a trap, and interrupts are off.
    unsafe {
        let stacks = &raw mut (*TSS.0.get()).privilege_stack_table;
        stacks.cast::<VirtAddr>().write_unaligned(VirtAddr::new_unsafe(top));
    }
}
