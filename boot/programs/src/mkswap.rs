//! `mkswap [-L LABEL] [--type TYPE [--option KEY=VALUE]...] DEVICE`: writes a swap header, with the type of the backend that is to
//! keep the pages, and that one's options, if they are given.
//!
//! Exit status: 0, 1 if the device refuses, 2 wrong usage.

use std::process::ExitCode;

use quire_swap::extension::{BackendOptions, Extension, TypeName};

use crate::areas;

/// What is to be written.
struct Wanted<'a> {
    device: &'a str,
    label: [u8; 16],
    backend: Option<TypeName>,
    options: String,
}

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let Some(wanted) = parse(arguments) else {
        eprintln!("usage: mkswap [-L LABEL] [--type TYPE [--option KEY=VALUE]...] DEVICE");
        return ExitCode::from(2);
    };
    match make(&wanted) {
        Ok(pages) => {
            println!("Setting up swapspace version 1, size = {} bytes", (pages - 1) * 4096);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("mkswap: {}: {error}", wanted.device);
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Option<Wanted<'_>> {
    let (device, options) = arguments.split_last()?;
    let mut wanted = Wanted { device, label: [0; 16], backend: None, options: String::new() };
    let (pairs, []) = options.as_chunks() else { return None };
    for [option, value] in pairs {
        match option.as_str() {
            "-L" | "--label" => wanted.label.get_mut(..value.len())?.copy_from_slice(value.as_bytes()),
            "--type" => wanted.backend = Some(TypeName::new(value)?),
            "--option" if BackendOptions::is_pair(value) => {
                let comma = if wanted.options.is_empty() { "" } else { "," };
                wanted.options.extend([comma, value]);
            }
            _ => return None,
        }
    }
    (wanted.options.is_empty() || wanted.backend.is_some()).then_some(wanted)
}

fn make(Wanted { device, label, backend, options }: &Wanted<'_>) -> std::io::Result<u64> {
    let pages = areas::pages(device)?;
    let version = TypeName::USUAL_VERSION;
    let extension = backend.map(|backend| Extension { backend, version, options: BackendOptions(options) });
    areas::make_typed(device, pages, *label, extension)?;
    Ok(pages)
}
