//! What the kernel's ELF file knows of its code: functions, files and lines, and how to leave a function.
//!
//! The kernel is built without frame pointers. How a function's frame is left is in `.debug_frame`, which costs the guest nothing;
//! for the few functions that have none there, of the library's, in `.eh_frame`.

use std::{fs, path::Path};

use addr2line::Loader;
use gimli::{
    BaseAddresses, CfaRule, DebugFrame, EhFrame, EndianSlice, LittleEndian, RegisterRule, UnwindContext, UnwindSection,
};
use object::{Object, ObjectSection};

use super::error::ObservatoryError;

/// The kernel's symbols.
pub struct Symbols {
    loader: Loader,
    debug_frame: Vec<u8>,
    eh_frame: Vec<u8>,
    eh_frame_address: u64,
}

/// The entries of traps, which call `quire_trap` with the trap's frame at the end of the stack.
const TRAPS: [&str; 2] = ["quire_trap_common", "quire_trap_any_time"];

/// A place in the kernel's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address.
    pub address: u64,
    /// The function, without hashes; empty if it is not known.
    pub function: String,
    /// The file, if it is known.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
}

impl Place {
    /// How the compiler calls a closure: not what the code says.
    pub(super) fn is_glue(&self) -> bool {
        self.function.contains("ops::function::FnOnce")
    }
}

/// The registers that a backtrace needs, by their DWARF numbers (System V ABI, figure 3.36).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Registers(pub(super) [u64; 17]);

/// Their numbers.
pub(super) mod register {
    pub(crate) const RBX: usize = 3;
    pub(crate) const RBP: usize = 6;
    pub(crate) const RSP: usize = 7;
    pub(crate) const R12: usize = 12;
    pub(crate) const R13: usize = 13;
    pub(crate) const R14: usize = 14;
    pub(crate) const R15: usize = 15;
    pub(crate) const RIP: usize = 16;
}

impl Symbols {
    /// Reads the kernel's ELF file.
    ///
    /// # Errors
    /// [`ObservatoryError::Symbols`].
    pub fn read(kernel: &Path) -> Result<Self, ObservatoryError> {
        let refused = |why: String| ObservatoryError::Symbols { path: kernel.to_owned(), why };
        let bytes = fs::read(kernel).map_err(|error| refused(error.to_string()))?;
        let file = object::File::parse(&*bytes).map_err(|error| refused(error.to_string()))?;
        let section = |name| {
            let section = file.section_by_name(name)?;
            Some((section.address(), section.uncompressed_data().ok()?.into_owned()))
        };
        let (eh_frame_address, eh_frame) = section(".eh_frame").unwrap_or_default();
        let (_, debug_frame) = section(".debug_frame").unwrap_or_default();
        Ok(Self {
            loader: Loader::new(kernel).map_err(|error| refused(error.to_string()))?,
            debug_frame,
            eh_frame,
            eh_frame_address,
        })
    }

    /// Where in the source an address is: the innermost inlined function first.
    pub fn places(&self, address: u64) -> Vec<Place> {
        let unknown = || Place { address, function: String::new(), file: None, line: None };
        let mut places = Vec::new();
        if let Ok(mut frames) = self.loader.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame.function.as_ref().and_then(|name| Some(name.demangle().ok()?.into_owned()));
                let location = frame.location.as_ref();
                places.push(Place {
                    function: name.map(|name| without_hash(&name)).unwrap_or_default(),
                    file: location.and_then(|location| Some(location.file?.to_owned())),
                    line: location.and_then(|location| location.line),
                    ..unknown()
                });
            }
        }
        if places.iter().all(|place| place.function.is_empty()) {
            let symbol =
                self.loader.find_symbol(address).map(|name| without_hash(&addr2line::demangle_auto(name.into(), None)));
            let file_and_line = places.pop().unwrap_or_else(unknown);
            return vec![Place { function: symbol.unwrap_or_default(), ..file_and_line }];
        }
        places
    }

    /// Whether this is where a trap's handler returns to.
    pub(super) fn is_trap_return(&self, address: u64) -> bool {
        self.loader.find_symbol(address.wrapping_sub(1)).is_some_and(|name| TRAPS.contains(&name))
    }

    /// Whether a function begins here.
    pub(super) fn is_beginning(&self, address: u64) -> bool {
        self.loader.find_symbol_info(address).is_some_and(|symbol| symbol.address() == address)
    }

    /// The registers of the caller of the function that runs with these; `word` reads the stack. `None` where that is not known.
    pub(super) fn caller(
        &self,
        registers: &Registers,
        address: u64,
        word: impl Fn(u64) -> Option<u64>,
    ) -> Option<Registers> {
        let debug_frame = DebugFrame::new(&self.debug_frame, LittleEndian);
        leave(&debug_frame, &BaseAddresses::default(), registers, address, &word).or_else(|| {
            let eh_frame = EhFrame::new(&self.eh_frame, LittleEndian);
            let bases = BaseAddresses::default().set_eh_frame(self.eh_frame_address);
            leave(&eh_frame, &bases, registers, address, &word)
        })
    }
}

fn leave<'a, S: UnwindSection<EndianSlice<'a, LittleEndian>>>(
    section: &S,
    bases: &BaseAddresses,
    registers: &Registers,
    address: u64,
    word: impl Fn(u64) -> Option<u64>,
) -> Option<Registers> {
    let mut context = UnwindContext::new();
    let row = section.unwind_info_for_address(bases, &mut context, address, S::cie_from_offset).ok()?;
    let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else { return None };
    let base = registers.0.get(usize::from(register.0))?;
    let frame = base.wrapping_add_signed(*offset);
    let mut caller = *registers;
    for (number, value) in caller.0.iter_mut().enumerate() {
        match row.register(gimli::Register(number as u16)) {
            Some(RegisterRule::Offset(offset)) => *value = word(frame.wrapping_add_signed(offset))?,
            Some(RegisterRule::Undefined) if number == register::RIP => return None,
            _ => {}
        }
    }
    caller.0[register::RSP] = frame;
    Some(caller)
}

/// A name without the hash that the compiler has put at its end.
fn without_hash(name: &str) -> String {
    let hash =
        name.rsplit_once("::h").filter(|(_, hash)| hash.len() == 16 && hash.bytes().all(|c| c.is_ascii_hexdigit()));
    hash.map_or(name, |(name, _)| name).to_owned()
}
