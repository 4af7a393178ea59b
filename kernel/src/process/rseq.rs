//! Restartable sequences (`rseq(2)`): code of a program that works as if it were never interrupted, because it is begun
//! anew if it was.
//!
//! A program registers an area of its memory (Linux: `struct rseq`). The kernel keeps in it on which processor the program
//! runs, and the program puts there the address of a description of the sequence that it is in. When another thread has had
//! the processor, or a handler is called, and the program stands inside the sequence, it goes on at the sequence's abort
//! address instead, before which its own signature must stand, so that nobody makes it go on elsewhere. What makes no
//! sense is `SIGSEGV`.
//!
//! The scheduler only notes that a thread lost the processor; the work is done on the way back to the program. After
//! Linux's `kernel/rseq.c`.

use core::mem::size_of;

/// The bytes of an area (Linux: up to `mm_cid`), for `AT_RSEQ_FEATURE_SIZE`.
pub const FEATURE_BYTES: u32 = 28;
/// An area's alignment, for `AT_RSEQ_ALIGN`.
pub const ALIGNMENT: u32 = 32;
/// The size that the first programs knew, which reserves a few bytes.
const FIRST_BYTES: u32 = 32;

// Places in an area: two words of the processor, the sequence, flags that are no longer used, node and number in memory.
const PROCESSOR: u64 = 0;
const SEQUENCE: u64 = 8;
const FLAGS: u64 = 16;
const NODE: u64 = 20;

/// What stands for the processor where no area is registered.
const NOT_REGISTERED: u32 = u32::MAX;

/// A program's memory.
pub trait Memory {
    /// Reads what is at `address`.
    ///
    /// # Errors
    /// [`Invalid`]: it cannot be read.
    fn read(&mut self, address: u64, to: &mut [u8]) -> Result<(), Invalid>;

    /// Writes what is at `address`.
    ///
    /// # Errors
    /// [`Invalid`]: it cannot be written.
    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Invalid>;
}

/// What a program registered, or the sequence that it is in, makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// A registered area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Its address.
    pub address: u64,
    /// Its size in bytes.
    pub bytes: u32,
    /// What stands before every abort address.
    pub signature: u32,
}

/// A sequence, as a program describes it (Linux: `struct rseq_cs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sequence {
    flags: u32,
    start: u64,
    bytes: u64,
    abort: u64,
}

impl Area {
    /// Whether an area can lie there, in a user half that ends at `end`.
    pub fn is_possible(&self, end: u64) -> bool {
        let is_large_enough = self.bytes >= FIRST_BYTES;
        let is_in_user_half = self.address.checked_add(self.bytes.into()).is_some_and(|last| last <= end);
        is_large_enough && self.address.is_multiple_of(ALIGNMENT.into()) && is_in_user_half
    }

    /// Tells the program on which processor it runs; its memory is all one node.
    ///
    /// # Errors
    /// [`Invalid`]: the area is gone.
    pub fn set_processor(&self, processor: u32, memory: &mut impl Memory) -> Result<(), Invalid> {
        // The number that distinguishes the threads of one memory that run at the same time may be the processor's.
        self.write_ids([processor, processor], [0, processor], memory)
    }

    /// Tells the program that the area is no longer registered.
    ///
    /// # Errors
    /// [`Invalid`]: the area is gone.
    pub fn clear(&self, memory: &mut impl Memory) -> Result<(), Invalid> {
        self.write_ids([0, NOT_REGISTERED], [0, 0], memory)
    }

    fn write_ids(&self, processor: [u32; 2], node: [u32; 2], memory: &mut impl Memory) -> Result<(), Invalid> {
        for (place, [low, high]) in [(PROCESSOR, processor), (NODE, node)] {
            let word = u64::from(low) | u64::from(high) << 32;
            memory.write(self.address + place, &word.to_le_bytes())?;
        }
        Ok(())
    }

    /// Where a program goes on that was interrupted at `instruction`, in a user half that ends at `end`.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn resume(&self, instruction: u64, end: u64, memory: &mut impl Memory) -> Result<u64, Invalid> {
        let address = u64::from_le_bytes(read(memory, self.address + SEQUENCE)?);
        if address == 0 {
            return Ok(instruction);
        }
        let sequence = Sequence::read(address, end, memory)?;
        let signature = u32::from_le_bytes(read(memory, sequence.abort.wrapping_sub(size_of::<u32>() as u64))?);
        if signature != self.signature {
            return Err(Invalid);
        }
        let is_inside = sequence.holds(instruction);
        if is_inside && (sequence.flags != 0 || read(memory, self.address + FLAGS)? != [0; 4]) {
            return Err(Invalid);
        }
        // Programs need not say that they have left a sequence.
        memory.write(self.address + SEQUENCE, &[0; 8])?;
        Ok(if is_inside { sequence.abort } else { instruction })
    }
}

impl Sequence {
    const BYTES: usize = 32;

    fn read(address: u64, end: u64, memory: &mut impl Memory) -> Result<Self, Invalid> {
        if address >= end {
            return Err(Invalid);
        }
        let bytes: [u8; Self::BYTES] = read(memory, address)?;
        let word = |index: usize| u64::from_le_bytes(bytes.as_chunks().0[index]);
        let (version, flags) = (word(0) as u32, (word(0) >> 32) as u32);
        let sequence = Self { flags, start: word(1), bytes: word(2), abort: word(3) };
        let last = sequence.start.checked_add(sequence.bytes).ok_or(Invalid)?;
        let is_in_user_half = [sequence.start, last, sequence.abort].into_iter().all(|place| place < end);
        if version == 0 && is_in_user_half && !sequence.holds(sequence.abort) { Ok(sequence) } else { Err(Invalid) }
    }

    fn holds(&self, instruction: u64) -> bool {
        instruction.wrapping_sub(self.start) < self.bytes
    }
}

fn read<const BYTES: usize>(memory: &mut impl Memory, address: u64) -> Result<[u8; BYTES], Invalid> {
    let mut bytes = [0; BYTES];
    memory.read(address, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Area, Invalid, Memory};

    const END: u64 = 0x1000;
    const AREA: Area = Area { address: 0x40, bytes: 32, signature: 0x5305_3053 };
    const DESCRIPTION: u64 = 0x80;
    const START: u64 = 0x200;
    const BYTES: u64 = 0x20;
    const ABORT: u64 = 0x300;

    struct Program([u8; END as usize]);

    impl Memory for Program {
        fn read(&mut self, address: u64, to: &mut [u8]) -> Result<(), Invalid> {
            let start = address as usize;
            to.copy_from_slice(self.0.get(start..start + to.len()).ok_or(Invalid)?);
            Ok(())
        }

        fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Invalid> {
            let start = address as usize;
            self.0.get_mut(start..start + from.len()).ok_or(Invalid)?.copy_from_slice(from);
            Ok(())
        }
    }

    impl Program {
        /// One that is in a sequence.
        fn new() -> Self {
            let mut program = Self([0; END as usize]);
            program.set(AREA.address + 8, DESCRIPTION);
            program.describe([0, START, BYTES, ABORT]);
            program.set(ABORT - 4, AREA.signature.into());
            program
        }

        fn describe(&mut self, words: [u64; 4]) {
            (DESCRIPTION..).step_by(8).zip(words).for_each(|(place, word)| self.set(place, word));
        }

        fn set(&mut self, address: u64, word: u64) {
            self.write(address, &word.to_le_bytes()).expect("inside");
        }

        fn word(&mut self, address: u64) -> u64 {
            u64::from_le_bytes(super::read(self, address).expect("inside"))
        }

        fn resume(&mut self, instruction: u64) -> Result<u64, Invalid> {
            AREA.resume(instruction, END, self)
        }
    }

    #[test]
    fn inside_a_sequence_it_is_aborted() {
        for (instruction, expected) in [
            (START - 1, START - 1),
            (START, ABORT),
            (START + BYTES - 1, ABORT),
            (START + BYTES, START + BYTES),
            (ABORT, ABORT),
        ] {
            let mut program = Program::new();
            assert_eq!(program.resume(instruction), Ok(expected));
            assert_eq!(program.word(AREA.address + 8), 0, "it is in no sequence any more");
            assert_eq!(program.resume(START), Ok(START));
        }
    }

    #[test]
    fn a_sequence_that_makes_no_sense_is_refused() {
        for words in [
            [1, START, BYTES, ABORT],
            [1 << 32, START, BYTES, ABORT],
            [0, END, BYTES, ABORT],
            [0, START, END, ABORT],
            [0, START, u64::MAX, ABORT],
            [0, START, BYTES, END],
            [0, START, BYTES, START + 4],
            [0, START, BYTES, ABORT + 8],
        ] {
            let mut program = Program::new();
            program.describe(words);
            assert_eq!(program.resume(START), Err(Invalid), "{words:x?}");
        }
        let mut program = Program::new();
        program.set(AREA.address + 8, END);
        assert_eq!(program.resume(START), Err(Invalid));
        let mut program = Program::new();
        program.set(AREA.address + 16, 1);
        assert_eq!(program.resume(START), Err(Invalid));
    }

    #[test]
    fn an_area_says_where_the_program_runs() {
        let mut program = Program::new();
        AREA.set_processor(3, &mut program).expect("inside");
        assert_eq!((program.word(AREA.address), program.word(AREA.address + 8)), (0x3_0000_0003, DESCRIPTION));
        assert_eq!(program.word(AREA.address + 20), 0x3_0000_0000);
        AREA.clear(&mut program).expect("inside");
        assert_eq!(program.word(AREA.address), 0xffff_ffff_0000_0000);
        assert_eq!(Area { address: END, ..AREA }.clear(&mut program), Err(Invalid));
    }

    #[test]
    fn an_area_is_aligned_and_a_programs() {
        let possible = |address, bytes| Area { address, bytes, ..AREA }.is_possible(END);
        assert!(possible(0x40, 32) && possible(0x40, 64) && possible(END - 32, 32));
        assert!(!possible(0x48, 32) && !possible(0x40, 28) && !possible(END, 32) && !possible(u64::MAX - 31, 32));
    }
}
