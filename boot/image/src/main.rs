//! Makes the disk image that UEFI boots: `quire-image KERNEL OUT`.
//!
//! A crate of its own because `bootloader`'s build script compiles the loader for a bare target, so only a toolchain
//! that has the library source can build it; the launcher finds that toolchain and runs this program.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use bootloader::{BootConfig, DiskImageBuilder};
use bootloader_boot_config::LevelFilter;
use object::build::elf::{Builder, SectionData};

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [kernel, out] = arguments.as_slice() else {
        eprintln!("usage: quire-image KERNEL OUT");
        return ExitCode::from(2);
    };
    match make_image(kernel, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quire-image: {}: {error}", kernel.display());
            ExitCode::FAILURE
        }
    }
}

fn make_image(kernel: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let elf = fs::read(kernel)?;
    let mut config = BootConfig::default();
    // The serial line and the screen are the kernel's, unless the loader cannot start it.
    config.log_level = LevelFilter::Error;
    config.frame_buffer_logging = false;

    let mut image = DiskImageBuilder::empty();
    image.set_file_contents("kernel-x86_64".to_owned(), without_symbols(&elf)?);
    image.set_boot_config(&config);
    Ok(image.create_uefi_image(out)?)
}

/// The same program without symbols and debug information, which are many times its size: the loader reads the whole
/// file into the guest's memory, and a debugger takes them from the original.
fn without_symbols(elf: &[u8]) -> Result<Vec<u8>, object::build::Error> {
    let mut program = Builder::read(elf)?;
    for section in &mut program.sections {
        let symbols = matches!(section.data, SectionData::Symbol | SectionData::String);
        section.delete = symbols || section.name.starts_with(b".debug");
    }
    for symbol in &mut program.symbols {
        symbol.delete = true;
    }
    program.delete_orphans();
    let mut stripped = Vec::new();
    program.write(&mut stripped)?;
    Ok(stripped)
}
