//! The firmware with an address where it finds out at once that the machine has no TPM.
//!
//! OVMF looks for a TPM at its fixed address (TCG PC Client Platform TPM Profile, 5.5.2, "TPM register space"). Where nothing answers,
//! QEMU reads zeros; the firmware takes them for a TPM that is not ready, and waits for it, busily, for 1.9 s of the 2.6 s from
//! power-on to the kernel. All ones mean that there is none. QEMU puts the firmware's file so that it ends at 4 GiB: one that is
//! long enough begins at the TPM's registers, and can say so.

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{error::Error, project::target};

/// Where the TPM's registers begin, and those of its five localities, a page each.
const TPM: u64 = 0xfed4_0000;
const LOCALITIES: usize = 5;
const PAGE: usize = 4096;

/// Where the firmware's file ends.
const END: u64 = 1 << 32;

/// A firmware that starts as `firmware` does, without its wait. It is made once for each version of `firmware`; one that is too long to
/// be put behind the registers stays as it is.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn without_wait(firmware: &Path) -> Result<PathBuf, Error> {
    let metadata = fs::metadata(firmware).map_err(Error::file("look at", firmware))?;
    let Some(start) = (END - TPM).checked_sub(metadata.len()).filter(|start| *start >= (LOCALITIES * PAGE) as u64)
    else {
        return Ok(firmware.to_owned());
    };
    let directory = target();
    fs::create_dir_all(&directory).map_err(Error::file("make", &directory))?;
    let path = directory.join(format!("firmware-{}-{}.fd", metadata.len(), metadata.mtime()));
    if !path.exists() {
        make(firmware, start, &path, &directory).map_err(Error::file("make", &path))?;
    }
    Ok(path)
}

/// The file appears whole: another launcher may be about to use it.
fn make(firmware: &Path, start: u64, path: &Path, directory: &Path) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&vec![0xff; LOCALITIES * PAGE])?;
    // Between the two is a hole, that takes no room.
    file.seek(SeekFrom::Start(start))?;
    io::copy(&mut File::open(firmware)?, &mut file)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{END, LOCALITIES, PAGE, TPM, make, without_wait};

    #[test]
    fn ones_are_at_the_tpm_and_the_firmware_ends_where_it_did() {
        let directory = tempfile::tempdir().unwrap();
        let (firmware, made) = (directory.path().join("OVMF.fd"), directory.path().join("made.fd"));
        fs::write(&firmware, b"starts at its end").unwrap();
        make(&firmware, END - TPM - 17, &made, directory.path()).unwrap();
        let made = fs::read(made).unwrap();
        assert_eq!(made.len() as u64, END - TPM);
        assert!(made[..LOCALITIES * PAGE].iter().all(|byte| *byte == 0xff));
        assert!(made.ends_with(b"\0starts at its end"));
    }

    #[test]
    fn a_firmware_that_leaves_no_room_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let firmware = directory.path().join("large.fd");
        fs::File::create(&firmware).unwrap().set_len(END - TPM).unwrap();
        assert_eq!(without_wait(&firmware).unwrap(), firmware);
    }
}
