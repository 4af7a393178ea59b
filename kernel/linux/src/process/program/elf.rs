//! What an ELF file asks for: which of its bytes go where in memory, and where the program begins.
//!
//! A program is an ELF64 file for x86-64 that needs no other file: linked statically, at fixed addresses or to run at any
//! (static-PIE). What the headers say is checked here, all of it, before anything is mapped; the file is never trusted.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use elf::endian::LittleEndian;
use elf::file::{Class, FileHeader};
use elf::parse::ParsingTable;
use elf::segment::ProgramHeader;
use elf::{abi, file};
use quire_machine::address_map::USER_END;
use quire_machine::fallible::{NoMemory, TryVec};

const PAGE: u64 = 4096;
/// The bytes of the file header.
pub const HEADER_BYTES: usize = 64;
/// The bytes of one program header.
const SEGMENT_BYTES: u64 = 56;
/// The most program headers that a file may have.
const SEGMENTS_MAX: u16 = 64;
/// Where a program goes that can run anywhere; Linux's place without randomisation.
const ANYWHERE: u64 = 0x5555_5555_4000;
/// Below this nothing is mapped, so that a null pointer with an offset still faults (Linux: `vm.mmap_min_addr`).
const LOWEST: u64 = 64 << 10;

/// Why a file is not a program that can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// It does not begin like an ELF file.
    NotElf,
    /// It ends before what its headers speak of.
    Truncated,
    /// It is for processors with other words, or another byte order.
    NotElf64,
    /// It is for another processor.
    OtherMachine(u16),
    /// It is an object file, a core file or the like.
    NotExecutable(u16),
    /// It needs a dynamic linker.
    Dynamic,
    /// Its program headers cannot be: their size or number.
    Headers,
    /// There is nothing to load.
    Empty,
    /// A segment has more bytes in the file than in memory, or begins elsewhere in its page than in the file's.
    Segment(u64),
    /// A segment reaches beyond the addresses that programs have.
    OutOfRange(u64),
    /// Two segments share a page, or do not come in order.
    Overlap(u64),
    /// There is no memory to read its headers in.
    NoMemory,
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => f.write_str("too little memory for its headers"),
            Self::NotElf => f.write_str("it is neither an ELF file nor a script"),
            Self::Truncated => f.write_str("the file ends before what its headers speak of"),
            Self::NotElf64 => f.write_str("it is no little-endian 64-bit ELF file"),
            Self::OtherMachine(machine) => write!(f, "it is for another processor (ELF machine {machine})"),
            Self::NotExecutable(kind) => write!(f, "it is no executable (ELF type {kind})"),
            Self::Dynamic => f.write_str("it is linked dynamically; only static programs run here"),
            Self::Headers => f.write_str("its program headers have an impossible size or number"),
            Self::Empty => f.write_str("it has nothing to load"),
            Self::Segment(address) => write!(f, "the segment at {address:#x} makes no sense"),
            Self::OutOfRange(address) => write!(f, "the segment at {address:#x} is beyond what programs may have"),
            Self::Overlap(address) => write!(f, "the segment at {address:#x} overlaps the one before it"),
        }
    }
}

/// The file header, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    entry: u64,
    table: u64,
    segments: u16,
    runs_anywhere: bool,
}

impl Header {
    /// Reads the file's first bytes.
    ///
    /// # Errors
    /// [`ElfError`]
    pub fn parse(bytes: &[u8]) -> Result<Self, ElfError> {
        if !bytes.starts_with(&abi::ELFMAGIC) {
            return Err(ElfError::NotElf);
        }
        let (ident, tail) = bytes.split_at_checked(abi::EI_NIDENT).ok_or(ElfError::Truncated)?;
        let ident = file::parse_ident::<LittleEndian>(ident).map_err(|_| ElfError::NotElf64)?;
        if ident.1 != Class::ELF64 {
            return Err(ElfError::NotElf64);
        }
        let header = FileHeader::parse_tail(ident, tail).map_err(|_| ElfError::Truncated)?;
        if header.e_machine != abi::EM_X86_64 {
            return Err(ElfError::OtherMachine(header.e_machine));
        }
        let runs_anywhere = match header.e_type {
            abi::ET_EXEC => false,
            abi::ET_DYN => true,
            other => return Err(ElfError::NotExecutable(other)),
        };
        let count = header.e_phnum;
        if u64::from(header.e_phentsize) != SEGMENT_BYTES || count == 0 || count > SEGMENTS_MAX {
            return Err(ElfError::Headers);
        }
        Ok(Self { entry: header.e_entry, table: header.e_phoff, segments: count, runs_anywhere })
    }

    /// The bytes of the file that hold the program headers.
    ///
    /// # Errors
    /// [`ElfError::Headers`]
    pub fn table(&self) -> Result<Range<u64>, ElfError> {
        let end = self.table.checked_add(SEGMENT_BYTES * u64::from(self.segments)).ok_or(ElfError::Headers)?;
        Ok(self.table..end)
    }
}

/// A part of the file in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first address.
    pub address: u64,
    /// Its bytes in memory; those beyond the file's are zero.
    pub memory_bytes: u64,
    /// Where it is in the file; as far from a page's start as its address is.
    pub offset: u64,
    /// Its bytes in the file.
    pub file_bytes: u64,
    /// Whether it may be read.
    pub read: bool,
    /// Whether it may be written.
    pub write: bool,
    /// Whether it may be run.
    pub execute: bool,
}

impl Segment {
    /// The pages that it is on.
    pub fn pages(&self) -> Range<u64> {
        self.address / PAGE * PAGE..(self.address + self.memory_bytes).next_multiple_of(PAGE)
    }
}

/// What a program asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Image {
    /// Where it begins.
    pub entry: u64,
    /// Where its program headers are in memory; 0 when they are not (`AT_PHDR`).
    pub headers: u64,
    /// How many program headers there are (`AT_PHNUM`).
    pub header_count: u16,
    /// Whether its stack may be run.
    pub executable_stack: bool,
    segments: Vec<Segment>,
}

impl Image {
    /// The bytes of one program header (`AT_PHENT`).
    pub const HEADER_BYTES: u64 = SEGMENT_BYTES;

    /// Reads the program headers, the bytes of [`Header::table`], of a file of `length` bytes.
    ///
    /// # Errors
    /// [`ElfError`]
    pub fn parse(header: &Header, table: &[u8], length: u64) -> Result<Self, ElfError> {
        let table_bytes = header.table()?;
        if table_bytes.end > length || table.len() as u64 != table_bytes.end - table_bytes.start {
            return Err(ElfError::Truncated);
        }
        let base = if header.runs_anywhere { ANYWHERE } else { 0 };
        let mut image = Self {
            entry: header.entry.wrapping_add(base),
            headers: 0,
            header_count: header.segments,
            executable_stack: false,
            segments: Vec::new(),
        };
        for entry in ParsingTable::<_, ProgramHeader>::new(LittleEndian, Class::ELF64, table) {
            match entry.p_type {
                abi::PT_INTERP => return Err(ElfError::Dynamic),
                abi::PT_GNU_STACK => image.executable_stack = entry.p_flags & abi::PF_X != 0,
                abi::PT_LOAD if entry.p_memsz > 0 => {
                    let segment = load_segment(&entry, base, length)?;
                    image.add(segment, &table_bytes)?;
                }
                _ => {}
            }
        }
        if image.segments.is_empty() {
            return Err(ElfError::Empty);
        }
        if image.entry >= USER_END {
            return Err(ElfError::OutOfRange(image.entry));
        }
        Ok(image)
    }

    fn add(&mut self, segment: Segment, table: &Range<u64>) -> Result<(), ElfError> {
        if self.segments().last().is_some_and(|last| segment.pages().start < last.pages().end) {
            return Err(ElfError::Overlap(segment.address));
        }
        if segment.offset <= table.start && table.end <= segment.offset + segment.file_bytes {
            self.headers = segment.address + (table.start - segment.offset);
        }
        self.segments.try_push(segment).map_err(|NoMemory| ElfError::NoMemory)
    }

    /// What is loaded, from the lowest address up; no two share a page.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The first page behind the highest segment, where the break begins.
    pub fn end(&self) -> u64 {
        self.segments().last().map_or(0, |last| last.pages().end)
    }
}

fn load_segment(entry: &ProgramHeader, base: u64, length: u64) -> Result<Segment, ElfError> {
    let place = entry.p_vaddr;
    if entry.p_filesz > entry.p_memsz || place % PAGE != entry.p_offset % PAGE {
        return Err(ElfError::Segment(place));
    }
    if entry.p_offset.checked_add(entry.p_filesz).is_none_or(|end| end > length) {
        return Err(ElfError::Truncated);
    }
    let address = base.checked_add(place).ok_or(ElfError::OutOfRange(place))?;
    let end = address.checked_add(entry.p_memsz).filter(|&end| end <= USER_END);
    if address < LOWEST || end.is_none() {
        return Err(ElfError::OutOfRange(place));
    }
    Ok(Segment {
        address,
        memory_bytes: entry.p_memsz,
        offset: entry.p_offset,
        file_bytes: entry.p_filesz,
        read: entry.p_flags & abi::PF_R != 0,
        write: entry.p_flags & abi::PF_W != 0,
        execute: entry.p_flags & abi::PF_X != 0,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ANYWHERE, ElfError, HEADER_BYTES, Header, Image, PAGE, SEGMENT_BYTES, USER_END, abi};

    /// A program header: type, flags, offset, address, bytes in the file, bytes in memory.
    type Entry = (u32, u32, u64, u64, u64, u64);

    const CODE: Entry = (abi::PT_LOAD, abi::PF_R | abi::PF_X, 0, 0x40_0000, 0x1234, 0x1234);
    const DATA: Entry = (abi::PT_LOAD, abi::PF_R | abi::PF_W, 0x1e10, 0x40_2e10, 0x100, 0x2000);

    fn file(kind: u16, entries: &[Entry]) -> Vec<u8> {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(kind.to_le_bytes());
        bytes.extend(62_u16.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        for word in [0x40_1000_u64, HEADER_BYTES as u64, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(0_u32.to_le_bytes());
        for half in [HEADER_BYTES as u16, SEGMENT_BYTES as u16, entries.len() as u16, 0, 0, 0] {
            bytes.extend(half.to_le_bytes());
        }
        for &(kind, flags, offset, address, file_bytes, memory_bytes) in entries {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(flags.to_le_bytes());
            for word in [offset, address, address, file_bytes, memory_bytes, PAGE] {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes.resize(0x2000, 0);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Image, ElfError> {
        let header = Header::parse(&bytes[..bytes.len().min(HEADER_BYTES)])?;
        let table = header.table()?;
        let table = bytes.get(table.start as usize..table.end as usize).ok_or(ElfError::Truncated)?;
        Image::parse(&header, table, bytes.len() as u64)
    }

    #[test]
    fn a_static_program_goes_where_it_says() {
        let image = parse(&file(abi::ET_EXEC, &[CODE, DATA])).unwrap();
        assert_eq!(image.entry, 0x40_1000);
        assert_eq!(image.headers, 0x40_0000 + HEADER_BYTES as u64);
        let [code, data] = image.segments() else { panic!("{image:?}") };
        assert_eq!((code.read, code.write, code.execute), (true, false, true));
        assert_eq!(code.pages(), 0x40_0000..0x40_2000);
        assert_eq!((data.read, data.write, data.execute), (true, true, false));
        assert_eq!(data.pages(), 0x40_2000..0x40_5000);
        assert_eq!(image.end(), 0x40_5000);
        assert!(!image.executable_stack);
    }

    #[test]
    fn a_program_that_runs_anywhere_goes_high() {
        let image = parse(&file(abi::ET_DYN, &[CODE, DATA])).unwrap();
        assert_eq!(image.entry, ANYWHERE + 0x40_1000);
        assert_eq!(image.segments()[0].address, ANYWHERE + 0x40_0000);
    }

    #[test]
    fn what_cannot_run_is_named() {
        let with = |entry: Entry| parse(&file(abi::ET_EXEC, &[CODE, entry])).unwrap_err();
        assert_eq!(with((abi::PT_INTERP, 4, 0x100, 0, 8, 8)), ElfError::Dynamic);
        assert_eq!(with((abi::PT_LOAD, 6, 0x1000, 0x40_1000, 8, 8)), ElfError::Overlap(0x40_1000));
        assert_eq!(with((abi::PT_LOAD, 6, 0, 0x20_0000, 8, 8)), ElfError::Overlap(0x20_0000));
        assert_eq!(with((abi::PT_LOAD, 6, 0x1000, 0x50_0000, 9, 8)), ElfError::Segment(0x50_0000));
        assert_eq!(with((abi::PT_LOAD, 6, 0x1000, 0x50_0001, 8, 8)), ElfError::Segment(0x50_0001));
        assert_eq!(with((abi::PT_LOAD, 6, 0x1000, 0x50_0000, 0x1001, 0x2000)), ElfError::Truncated);
        let kernel = 0xffff_8000_0000_0000;
        assert_eq!(with((abi::PT_LOAD, 6, 0, kernel, 8, 8)), ElfError::OutOfRange(kernel));
        let last = USER_END - PAGE;
        assert_eq!(with((abi::PT_LOAD, 6, 0, last, 8, PAGE + 1)), ElfError::OutOfRange(last));
        assert_eq!(with((abi::PT_LOAD, 6, 0, last, 8, u64::MAX)), ElfError::OutOfRange(last));
        assert_eq!(parse(&file(abi::ET_EXEC, &[(abi::PT_LOAD, 5, 0, 0, 8, 8)])).unwrap_err(), ElfError::OutOfRange(0));
        assert_eq!(parse(&file(abi::ET_EXEC, &[(abi::PT_NOTE, 4, 0, 0, 8, 8)])).unwrap_err(), ElfError::Empty);
        assert_eq!(parse(&file(abi::ET_REL, &[CODE])).unwrap_err(), ElfError::NotExecutable(1));
        assert_eq!(parse(b"#!/bin/sh\n").unwrap_err(), ElfError::NotElf);
    }

    #[test]
    fn another_class_byte_order_or_machine_is_named() {
        let changed = |place: usize, value: u8| {
            let mut bytes = file(abi::ET_EXEC, &[CODE]);
            bytes[place] = value;
            parse(&bytes).unwrap_err()
        };
        assert_eq!(changed(4, 1), ElfError::NotElf64);
        assert_eq!(changed(5, 2), ElfError::NotElf64);
        assert_eq!(changed(18, 3), ElfError::OtherMachine(3));
        assert_eq!(changed(54, 57), ElfError::Headers);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let whole = file(abi::ET_EXEC, &[CODE, DATA]);
        for length in 0..0x1f10 {
            assert!(parse(&whole[..length]).is_err(), "cut at {length}");
        }
    }

    proptest! {
        #[test]
        fn nothing_in_the_headers_leads_out_of_the_user_half(
            kind in 2_u16..4,
            entries in prop::collection::vec(
                (
                    prop::sample::select(vec![abi::PT_LOAD, abi::PT_LOAD, abi::PT_LOAD, abi::PT_PHDR, abi::PT_GNU_STACK]),
                    0_u32..8,
                    0_u64..2,
                    prop_oneof![
                        8 => Just(0x40_0000),
                        1 => prop::sample::select(vec![0, USER_END - 4 * PAGE, 0xffff_8000_0000_0000, u64::MAX - 0x3fff]),
                    ],
                    0_u64..8,
                    0_u64..0x1000,
                    prop_oneof![
                        8 => 0x1000_u64..0x3000,
                        1 => prop::sample::select(vec![0, u64::MAX - 0x2000, u64::MAX]),
                    ],
                ),
                1..4,
            ),
        ) {
            let entries: Vec<Entry> = entries
                .into_iter()
                .map(|(kind, flags, offset, address, page, in_file, in_memory)| {
                    (kind, flags, offset * PAGE, address.wrapping_add(page * PAGE), in_file, in_memory)
                })
                .collect();
            if let Ok(image) = parse(&file(kind, &entries)) {
                let mut end = 0;
                for segment in image.segments() {
                    prop_assert!(segment.address.checked_add(segment.memory_bytes).is_some_and(|end| end <= USER_END));
                    prop_assert!(segment.pages().start >= end);
                    prop_assert!(segment.offset + segment.file_bytes <= 0x2000);
                    end = segment.pages().end;
                }
            }
        }

        #[test]
        fn arbitrary_bytes_are_no_program(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(parse(&bytes).is_err());
            let mut begins_well = file(abi::ET_EXEC, &[]);
            begins_well.truncate(24);
            begins_well.extend(bytes);
            let _ = parse(&begins_well);
        }
    }
}
