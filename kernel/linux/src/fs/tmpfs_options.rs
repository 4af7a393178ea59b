//! What `mount(2)` is told for a file system: the words that it has, and what tmpfs makes of them (Linux: `shmem_parse_one`
//! in `mm/shmem.c`).
//!
//! A word that means nothing here is refused, also where Linux would accept it and do nothing.

use linux_raw_sys::general as linux;
use quire_compressed::leading_size;
use quire_swap::header::PAGE_SIZE;

use crate::errno::Errno;

/// The words between the commas.
pub fn words(data: &str) -> impl Iterator<Item = &str> + Clone {
    data.split(',').filter(|word| !word.is_empty())
}

/// The flags of `mount(2)` that a word sets and clears, which every file system takes (Linux: `vfs_parse_sb_flag`).
pub fn flag(word: &str) -> Option<(u32, u32)> {
    Some(match word {
        "ro" => (linux::MS_RDONLY, 0),
        "rw" => (0, linux::MS_RDONLY),
        // In memory there is nothing to wait for.
        "sync" => (linux::MS_SYNCHRONOUS, 0),
        "async" => (0, linux::MS_SYNCHRONOUS),
        "dirsync" => (linux::MS_DIRSYNC, 0),
        _ => return None,
    })
}

/// For a file system that has no options.
///
/// # Errors
/// `EINVAL` if there are some.
pub fn no_options<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<(), Errno> {
    if words.next().is_none() { Ok(()) } else { Err(Errno::EINVAL) }
}

/// What was asked of a tmpfs; `None` for what nothing was said about. Limits are 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TmpfsOptions {
    /// The most pages that files have (`size=`, `nr_blocks=`).
    pub blocks: Option<u64>,
    /// The most nodes (`nr_inodes=`).
    pub inodes: Option<u64>,
    /// The root directory's permissions.
    pub mode: Option<u32>,
    /// Its owner.
    pub user: Option<u32>,
    /// Its group.
    pub group: Option<u32>,
    /// Pages stay in memory.
    pub stays: bool,
}

/// What a node counts for in Linux's limit of them, which must not overflow (`BOGO_INODE_SIZE`).
const NODE_BYTES: u64 = 1024;

impl TmpfsOptions {
    /// Reads options for a machine with so many pages of memory.
    ///
    /// # Errors
    /// `EINVAL` for an option that there is not, and for a value that makes no sense.
    pub fn parse<'a>(words: impl Iterator<Item = &'a str>, memory: u64) -> Result<Self, Errno> {
        let mut wanted = Self::default();
        for word in words {
            let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            wanted.set(name, value, memory).ok_or(Errno::EINVAL)?;
        }
        Ok(wanted)
    }

    /// Reads the options of a file system that only takes permissions for its root directory (Linux: ramfs).
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn parse_mode<'a>(words: impl Iterator<Item = &'a str>) -> Result<Option<u32>, Errno> {
        let mut last = None;
        for word in words {
            let mode = word.strip_prefix("mode=").ok_or(Errno::EINVAL)?;
            last = Some(permissions(mode).ok_or(Errno::EINVAL)?);
        }
        Ok(last)
    }

    fn set(&mut self, name: &str, value: Option<&str>, memory: u64) -> Option<()> {
        match (name, value) {
            ("size", Some(value)) => self.blocks = Some(size(value, memory)?),
            ("nr_blocks", Some(value)) => {
                self.blocks = Some(quire_compressed::size(value).filter(|count| i64::try_from(*count).is_ok())?);
            }
            ("nr_inodes", Some(value)) => {
                self.inodes = Some(quire_compressed::size(value).filter(|count| *count <= u64::MAX / NODE_BYTES)?);
            }
            ("mode", Some(value)) => self.mode = Some(permissions(value)?),
            ("uid", Some(value)) => self.user = Some(id(value)?),
            ("gid", Some(value)) => self.group = Some(id(value)?),
            ("noswap", None) => self.stays = true,
            // As it is: there are no huge pages, and numbers have 64 bits.
            ("huge", Some("never")) | ("inode64", None) => {}
            _ => return None,
        }
        Some(())
    }
}

/// A size in bytes, or of all memory, in pages.
fn size(value: &str, memory: u64) -> Option<u64> {
    let (bytes, rest) = leading_size(value)?;
    let bytes = match rest {
        "" => bytes,
        "%" => u64::try_from(u128::from(bytes) * u128::from(memory) * PAGE_SIZE as u128 / 100).ok()?,
        _ => return None,
    };
    Some(bytes.div_ceil(PAGE_SIZE as u64))
}

fn permissions(value: &str) -> Option<u32> {
    u32::from_str_radix(value, 8).ok().map(|mode| mode & 0o7777)
}

fn id(value: &str) -> Option<u32> {
    value.parse().ok().filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{TmpfsOptions, flag, no_options, words};
    use crate::errno::Errno;

    fn parse(data: &str) -> Result<TmpfsOptions, Errno> {
        TmpfsOptions::parse(words(data), 1000)
    }

    #[test]
    fn sizes_are_pages_rounded_up_and_parts_of_memory() {
        for (data, blocks) in [
            ("size=1m", 256),
            ("size=1", 1),
            ("size=4097", 2),
            ("size=0", 0),
            ("size=50%", 500),
            ("size=1%,size=8k", 2),
            ("nr_blocks=3k", 3072),
            ("size=0x2000", 2),
        ] {
            assert_eq!(parse(data).map(|wanted| wanted.blocks), Ok(Some(blocks)), "{data}");
        }
        assert_eq!(parse("").unwrap(), TmpfsOptions::default());
    }

    #[test]
    fn everything_else_is_read_as_linux_does() {
        let wanted = parse("mode=1750,,uid=5,gid=6,nr_inodes=1k,noswap,huge=never,inode64").unwrap();
        let expected = TmpfsOptions {
            blocks: None,
            inodes: Some(1024),
            mode: Some(0o1750),
            user: Some(5),
            group: Some(6),
            stays: true,
        };
        assert_eq!(wanted, expected);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for data in [
            "banana",
            "size",
            "size=",
            "size=x",
            "size=1q",
            "size=1%%",
            "size=-1",
            "nr_blocks=5%",
            "nr_blocks=0x8000000000000000",
            "nr_inodes=99999999999999999",
            "mode=8",
            "mode=",
            "mode",
            "uid=-1",
            "uid=4294967295",
            "gid=x",
            "noswap=1",
            "huge=always",
            "huge",
            "size=1m,banana",
            "mpol=local",
            "Size=1m",
        ] {
            assert_eq!(parse(data), Err(Errno::EINVAL), "{data}");
        }
    }

    #[test]
    fn some_take_only_a_mode_and_some_nothing() {
        assert_eq!(TmpfsOptions::parse_mode(words("mode=700")), Ok(Some(0o700)));
        assert_eq!(TmpfsOptions::parse_mode(words("mode=700,size=1m")), Err(Errno::EINVAL));
        assert_eq!((no_options(words("")), no_options(words("x"))), (Ok(()), Err(Errno::EINVAL)));
    }

    #[test]
    fn flags_are_everybodys() {
        assert!(flag("ro").is_some() && flag("rw").is_some() && flag("async").is_some());
        assert!(flag("nosuid").is_none() && flag("size=1m").is_none());
    }
}
