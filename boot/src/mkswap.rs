//! `cargo run -- mkswap`: makes a file a swap area, as `mkswap` does, with the type of its backend and that one's options in the
//! header if that is wanted.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use clap::Args;
use quire_boot::{Error, Size};
use quire_swap::{
    extension::{BackendOptions, Extension, TypeName},
    header::{BadPages, Header, PAGE_SIZE},
};

/// What the area is like.
#[derive(Args, Debug)]
pub(crate) struct MkswapOptions {
    /// The file or block device
    file: PathBuf,
    /// Makes the file, or makes it this long
    #[arg(long, value_name = "SIZE")]
    size: Option<Size>,
    /// The type of backend that keeps the pages: log, crypt, or block for pages as they are
    #[arg(long = "type", value_name = "TYPE", value_parser = type_name)]
    backend: Option<TypeName>,
    /// An option of the backend; can be given several times
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = pair, requires = "backend")]
    options: Vec<String>,
    /// The area's label, up to 16 bytes
    #[arg(long, value_name = "LABEL", default_value = "", hide_default_value = true, value_parser = label)]
    label: Label,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Label([u8; 16]);

fn type_name(text: &str) -> Result<TypeName, &'static str> {
    TypeName::new(text).ok_or("longer than 16 bytes")
}

fn pair(text: &str) -> Result<String, &'static str> {
    if BackendOptions::is_pair(text) { Ok(text.to_owned()) } else { Err("expected KEY=VALUE without a comma") }
}

fn label(text: &str) -> Result<Label, &'static str> {
    let mut label = [0; 16];
    label.get_mut(..text.len()).ok_or("longer than 16 bytes")?.copy_from_slice(text.as_bytes());
    Ok(Label(label))
}

/// Writes the header.
///
/// # Errors
/// The file cannot be written, is too short, or the options are too long.
pub(crate) fn mkswap(options: &MkswapOptions) -> Result<(), Error> {
    let file = &options.file;
    write(file, options).map_err(|source| Error::File { action: "make a swap area of", path: file.clone(), source })
}

fn write(path: &Path, MkswapOptions { size, backend, options, label, .. }: &MkswapOptions) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).create(size.is_some()).truncate(false).open(path)?;
    if let Some(size) = size {
        file.set_len(size.in_bytes())?;
    }
    // The length of a block device is where its end is.
    let length = io::Seek::seek(&mut &file, io::SeekFrom::End(0))?;
    let last_page = u32::try_from((length / PAGE_SIZE as u64).saturating_sub(1)).map_err(io::Error::other)?;
    let header = Header { last_page, uuid: random_uuid()?, label: label.0, bad_pages: BadPages::new(&[]) };
    let mut page = [0; PAGE_SIZE];
    file.read_exact_at(&mut page, 0)?;
    header.encode(&mut page).map_err(|error| io::Error::other(error.to_string()))?;
    if let Some(backend) = *backend {
        let options = options.join(",");
        let extension = Extension { backend, version: TypeName::USUAL_VERSION, options: BackendOptions(&options) };
        extension.encode(&mut page).map_err(|error| io::Error::other(error.to_string()))?;
    }
    file.write_all_at(&page, 0)
}

/// One of version 4 (RFC 9562).
fn random_uuid() -> io::Result<[u8; 16]> {
    let mut uuid = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut uuid)?;
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    Ok(uuid)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;
    use quire_swap::{
        extension::{Extension, TypeName},
        header::{Header, Medium, PAGE_SIZE},
    };

    use super::mkswap;
    use crate::options::{Options, Task};

    fn run(arguments: &[&str]) -> Result<(), String> {
        let parsed = Options::try_parse_from(["quire", "mkswap"].iter().chain(arguments));
        let Some(Task::Mkswap(options)) = parsed.map_err(|error| error.to_string())?.task else { panic!("no mkswap") };
        mkswap(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn an_area_has_what_was_asked_for_and_keeps_its_boot_block() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("swap.img");
        fs::write(&path, vec![0xaa; 64 << 10]).unwrap();
        let file = path.to_str().unwrap();
        run(&[file, "--type", "crypt", "--option", "over=log", "--option", "reserve=20", "--label", "hidden"]).unwrap();
        let image = fs::read(&path).unwrap();
        let page: &[u8; PAGE_SIZE] = image.first_chunk().unwrap();
        let header = Header::parse(page, Medium { pages: 16, is_file: false }).unwrap();
        assert_eq!((header.last_page, &header.label), (15, b"hidden\0\0\0\0\0\0\0\0\0\0"));
        let extension = Extension::parse(page).unwrap().unwrap();
        assert_eq!((extension.backend, extension.version), (TypeName::new("crypt").unwrap(), 1));
        assert_eq!(extension.options.0, "over=log,reserve=20");
        assert!(image[..1024].iter().chain(&image[PAGE_SIZE..]).all(|byte| *byte == 0xaa));
        // Without a type it is plain again.
        run(&[file]).unwrap();
        assert_eq!(Extension::parse(fs::read(&path).unwrap().first_chunk().unwrap()), Ok(None));
        run(&[directory.path().join("new").to_str().unwrap(), "--size", "1M"]).unwrap();
        assert_eq!(fs::metadata(directory.path().join("new")).unwrap().len(), 1 << 20);
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("swap.img");
        let file = path.to_str().unwrap();
        assert!(run(&[file]).is_err(), "there is no file");
        fs::write(&path, vec![0; 4096]).unwrap();
        assert!(run(&[file]).unwrap_err().contains("last_page is 0"));
        fs::write(&path, vec![0; 1 << 20]).unwrap();
        let long = format!("key={}", "x".repeat(500));
        for (arguments, part) in [
            (&["--type", "a-name-that-is-longer"][..], "longer than 16 bytes"),
            (&["--label", "a-label-that-is-longer"], "longer than 16 bytes"),
            (&["--option", "over=log"], "--type"),
            (&["--type", "crypt", "--option", "over"], "KEY=VALUE"),
            (&["--type", "crypt", "--option", "a=1,b=2"], "KEY=VALUE"),
            (&["--type", "crypt", "--option", &long], "more than 428"),
        ] {
            let error = run(&[&[file], arguments].concat()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!(fs::read(&path).unwrap().iter().all(|byte| *byte == 0), "nothing was written");
    }
}
