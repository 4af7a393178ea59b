//! The frame that a handler finds on its stack, with Linux's layout (`rt_sigframe` of x86-64), as bytes.
//!
//! From the stack pointer up: the return address, which is the restorer's; `ucontext` with flags, the stack for handlers,
//! `sigcontext` with the registers, and the mask that comes back; `siginfo`. Higher up, aligned to 64 bytes, lies what
//! `xsave` or `fxsave` wrote, with a note in the legacy part's last bytes of what it holds (`_fpx_sw_bytes`).
//!
//! What comes back by `rt_sigreturn` is whatever the program has made of it. Of the flags only those change that a program
//! may change by itself; the segments are not looked at; the caller checks the instruction pointer and the image.

use linux_raw_sys::general as linux;

use super::action::Action;
use super::alternate::AlternateStack;
use super::info::Info;
use super::number::{Set, Signal};

/// What a program may not use below its stack pointer belongs to it all the same (System V ABI, "red zone").
const RED_ZONE: u64 = 128;

/// The bytes of the frame below the image of the floating-point registers.
pub const FRAME_BYTES: usize = INFO + Info::BYTES;
/// The bytes of `ucontext`, which `rt_sigreturn` reads.
pub const CONTEXT_BYTES: usize = MASK + 8;

// Places in the frame.
const CONTEXT: usize = 8;
const INFO: usize = CONTEXT + CONTEXT_BYTES;
// Places in `ucontext`.
const ALTERNATE: usize = 16;
const REGISTERS: usize = 40;
const SEGMENTS: usize = REGISTERS + 8 * Registers::COUNT;
const ERROR: usize = SEGMENTS + 8;
const TRAP: usize = ERROR + 8;
const OLD_MASK: usize = TRAP + 8;
const FAULT_ADDRESS: usize = OLD_MASK + 8;
const IMAGE: usize = FAULT_ADDRESS + 8;
const MASK: usize = IMAGE + 8 + 64;

// `uc_flags`: there is an extended image; the stack segment is saved, and comes back as it was.
const HAS_EXTENDED_IMAGE: u64 = 1;
const HAS_STACK_SEGMENT: u64 = 2 | 4;

/// The flags that a program may change: carry, parity, adjust, zero, sign, trap, direction, overflow, resume, alignment.
const CHANGEABLE_FLAGS: u64 = 0x5_0dd5;
/// The flags that a handler begins without: trap, direction, resume.
const CLEARED_FLAGS: u64 = 0x1_0500;

/// A program's registers, in the order of `sigcontext`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the registers' own names")]
pub struct Registers {
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rsp: u64,
    pub rip: u64,
    pub rflags: u64,
}

impl Registers {
    const COUNT: usize = 18;

    fn words(self) -> [u64; Self::COUNT] {
        let Self { r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags } = self;
        [r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags]
    }

    fn from_words(words: [u64; Self::COUNT]) -> Self {
        let [r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags] = words;
        Self { r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags }
    }
}

/// The selectors that a program runs with.
#[derive(Clone, Copy, Debug)]
pub struct Segments {
    /// Its code.
    pub code: u16,
    /// Its stack.
    pub stack: u16,
}

/// What a fault left: the processor's number of the trap, its error code, and the address that was touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRegisters {
    /// The trap's vector.
    pub trap: u64,
    /// Its error code.
    pub error: u64,
    /// For a page fault the address.
    pub address: u64,
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLayout {
    /// The address of the frame, the handler's stack pointer.
    pub frame: u64,
    /// The address of the image.
    pub image: u64,
}

impl FrameLayout {
    /// Where the frame goes with an image of `image_bytes` for a handler that is called at `stack_pointer`. `None` when
    /// the stack for handlers is in use and full.
    pub fn below(stack_pointer: u64, action: &Action, alternate: AlternateStack, image_bytes: usize) -> Option<Self> {
        let own_stack = action.has(linux::SA_ONSTACK).then(|| alternate.top_for(stack_pointer)).flatten();
        let top = own_stack.unwrap_or(stack_pointer.wrapping_sub(RED_ZONE));
        let image = top.wrapping_sub(image_bytes as u64) & !63;
        // As a call would leave it: a multiple of 16, less the return address.
        let frame = (image.wrapping_sub(FRAME_BYTES as u64) & !15).wrapping_sub(8);
        let overflows = alternate.holds(stack_pointer) && !alternate.holds(frame);
        (!overflows && frame < stack_pointer.max(top)).then_some(Self { frame, image })
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Which signal.
    pub signal: Signal,
    /// What the handler is told.
    pub info: Info,
    /// Where the handler returns to.
    pub restorer: u64,
    /// The registers that come back.
    pub registers: Registers,
    /// The selectors.
    pub segments: Segments,
    /// What the last fault left.
    pub fault: FaultRegisters,
    /// The mask that comes back.
    pub mask: Set,
    /// The stack for handlers, as the process sees it.
    pub alternate: AlternateStack,
    /// Whether the image is an extended one.
    pub extended: bool,
}

impl Frame {
    /// The frame's bytes, for `place`.
    pub fn to_bytes(&self, place: FrameLayout) -> [u8; FRAME_BYTES] {
        let mut bytes = [0; FRAME_BYTES];
        put(&mut bytes, 0, self.restorer);
        let context = &mut bytes[CONTEXT..INFO];
        put(context, 0, HAS_STACK_SEGMENT | if self.extended { HAS_EXTENDED_IMAGE } else { 0 });
        context[ALTERNATE..REGISTERS].copy_from_slice(&self.alternate.to_bytes());
        for (index, word) in self.registers.words().into_iter().enumerate() {
            put(context, REGISTERS + 8 * index, word);
        }
        // Code, GS, FS and stack selector, two bytes each.
        put(context, SEGMENTS, u64::from(self.segments.code) | u64::from(self.segments.stack) << 48);
        put(context, ERROR, self.fault.error);
        put(context, TRAP, self.fault.trap);
        put(context, OLD_MASK, self.mask.bits());
        put(context, FAULT_ADDRESS, self.fault.address);
        put(context, IMAGE, place.image);
        put(context, MASK, self.mask.bits());
        bytes[INFO..].copy_from_slice(&self.info.to_bytes(self.signal));
        bytes
    }

    /// The registers that the handler at `action` begins with.
    pub fn handler_registers(&self, place: FrameLayout, action: &Action) -> Registers {
        Registers {
            rdi: u64::from(self.signal.number()),
            rsi: place.frame + INFO as u64,
            rdx: place.frame + CONTEXT as u64,
            rax: 0,
            rip: action.handler,
            rsp: place.frame,
            rflags: self.registers.rflags & !CLEARED_FLAGS,
            ..self.registers
        }
    }
}

/// What a program returns by `rt_sigreturn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Its registers.
    pub registers: Registers,
    /// The signals to block.
    pub mask: Set,
    /// The stack for handlers.
    pub alternate: AlternateStack,
    /// Where the image is; 0 for the registers that a program begins with.
    pub image: u64,
}

impl Returned {
    /// What `context` holds, for a program whose flags are `rflags`.
    pub fn from_context(context: &[u8; CONTEXT_BYTES], rflags: u64) -> Self {
        let mut registers = Registers::from_words(core::array::from_fn(|index| get(context, REGISTERS + 8 * index)));
        registers.rflags = rflags & !CHANGEABLE_FLAGS | registers.rflags & CHANGEABLE_FLAGS;
        let mut alternate = [0; AlternateStack::BYTES];
        alternate.copy_from_slice(&context[ALTERNATE..REGISTERS]);
        Self {
            registers,
            mask: Set::from_bits(get(context, MASK)),
            alternate: AlternateStack::from_bytes(&alternate),
            image: get(context, IMAGE),
        }
    }
}

/// The note on what an extended image holds: in the legacy part, and a last word behind the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageNote {
    /// The parts of the image, as in XCR0.
    pub components: u64,
    /// The image's bytes, without the last word.
    pub bytes: u32,
}

impl ImageNote {
    /// Where the note is in the image.
    pub const PLACE: usize = 464;
    /// The bytes of the word behind the image.
    pub const LAST_BYTES: usize = 4;
    /// The word behind the image.
    pub const LAST: u32 = 0x4650_5845;
    const FIRST: u32 = 0x4650_5853;

    /// Writes the note into `image`.
    ///
    /// # Panics
    /// When `image` is shorter than the legacy part, which is 512 bytes.
    pub fn write(self, image: &mut [u8]) {
        let note = &mut image[Self::PLACE..Self::PLACE + 24];
        note.fill(0);
        note[..4].copy_from_slice(&Self::FIRST.to_le_bytes());
        note[4..8].copy_from_slice(&(self.bytes + Self::LAST_BYTES as u32).to_le_bytes());
        note[8..16].copy_from_slice(&self.components.to_le_bytes());
        note[16..20].copy_from_slice(&self.bytes.to_le_bytes());
    }

    /// Whether `legacy` begins an image of as many bytes as this says; the caller checks the word behind it.
    ///
    /// # Panics
    /// As [`Self::write`].
    pub fn matches(self, legacy: &[u8]) -> bool {
        let word = |place: usize| get(legacy, Self::PLACE + place) as u32;
        word(0) == Self::FIRST && word(4) == self.bytes + Self::LAST_BYTES as u32 && word(16) == self.bytes
    }
}

fn put(bytes: &mut [u8], place: usize, word: u64) {
    bytes[place..place + 8].copy_from_slice(&word.to_le_bytes());
}

fn get(bytes: &[u8], place: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[place..place + 8]);
    u64::from_le_bytes(word)
}
