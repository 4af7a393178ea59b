//! `--fault` and `--slow`: disks that fail or take their time, on purpose.

use std::str::FromStr;

use quire_boot::Disk;

/// What QEMU's `blkdebug` calls the operations.
const OPERATIONS: [&str; 4] = ["read", "write", "discard", "flush"];
const FAULT: &str = "expected [DISK:]read|write|discard|flush[:PAGE], as in read:1000 or vdb:write";
const SLOW: &str = "expected [DISK:]REQUESTS, from 1 up, as in 300 or vdb:300";
const SECTORS_A_PAGE: u64 = 8;

/// The place of a disk among all: 0 for `vda`.
type DiskIndex = usize;

/// Requests of a disk that fail: all of one operation, or those that touch a page of 4 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    disk: DiskIndex,
    operation: &'static str,
    page: Option<u64>,
}

/// How many requests a disk serves in a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slow {
    disk: DiskIndex,
    requests: u64,
}

/// The disk that a value is for, the first unless it names one, and the rest of the value.
fn disk_of(text: &str) -> (DiskIndex, &str) {
    let named = text.strip_prefix("vd").and_then(|rest| rest.split_once(':'));
    match named.map(|(letter, rest)| (letter.as_bytes(), rest)) {
        Some(([letter @ b'a'..=b'z'], rest)) => (usize::from(letter - b'a'), rest),
        _ => (0, text),
    }
}

impl FromStr for Fault {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (disk, rest) = disk_of(text);
        let (operation, page) = rest.split_once(':').map_or((rest, None), |(operation, page)| (operation, Some(page)));
        let operation = OPERATIONS.into_iter().find(|known| *known == operation).ok_or(FAULT)?;
        let is_page = |page: &u64| operation != "flush" && u32::try_from(*page).is_ok();
        let page = page.map(|page| page.parse().ok().filter(is_page).ok_or(FAULT)).transpose()?;
        Ok(Self { disk, operation, page })
    }
}

impl FromStr for Slow {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (disk, requests) = disk_of(text);
        let requests = requests.parse().ok().filter(|requests| *requests > 0).ok_or(SLOW)?;
        Ok(Self { disk, requests })
    }
}

/// The disks with what is wrong with them; the letter of a disk that is not there is an error.
pub(crate) fn apply(disks: Vec<Disk>, faults: &[Fault], slow: &[Slow]) -> Result<Vec<Disk>, String> {
    let named = faults.iter().map(|fault| ("--fault", fault.disk)).chain(slow.iter().map(|slow| ("--slow", slow.disk)));
    for (option, disk) in named {
        if disk >= disks.len() {
            let letter = char::from(b'a' + u8::try_from(disk).unwrap_or(0));
            return Err(format!(
                "{option}: there is no disk /dev/vd{letter}: --swap and --disk add disks, in their order"
            ));
        }
    }
    let with = |(index, mut disk): (usize, Disk)| {
        let rules: Vec<String> = faults.iter().filter(|fault| fault.disk == index).enumerate().map(rule).collect();
        if !rules.is_empty() {
            disk = disk.faults(rules.join(","));
        }
        let slow = slow.iter().filter(|slow| slow.disk == index);
        slow.fold(disk, |disk, slow| disk.options(&format!("throttling.iops-total={}", slow.requests)))
    };
    Ok(disks.into_iter().enumerate().map(with).collect())
}

fn rule((number, Fault { operation, page, .. }): (usize, &Fault)) -> String {
    let rule = format!("inject-error.{number}");
    let place = page.map(|page| format!(",{rule}.sector={}", page * SECTORS_A_PAGE)).unwrap_or_default();
    format!("{rule}.event=none,{rule}.errno=5,{rule}.iotype={operation}{place}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use quire_boot::{Disk, Size};

    use super::{Fault, Slow, apply};

    #[test]
    fn what_is_wrong_with_a_disk_reaches_qemu() {
        let disks = || vec![Disk::file("/one"), Disk::drive("driver=null-co")];
        let faults: Vec<Fault> = ["read:1000", "write"].iter().map(|text| text.parse().unwrap()).collect();
        let slow = ["vdb:300".parse().unwrap()];
        let drives: Vec<String> = apply(disks(), &faults, &slow)
            .unwrap()
            .iter()
            .map(|disk| disk.attach(Path::new("/"), 0).unwrap().drive)
            .collect();
        let rules = "inject-error.0.event=none,inject-error.0.errno=5,inject-error.0.iotype=read,inject-error.0.sector=8000,\
                     inject-error.1.event=none,inject-error.1.errno=5,inject-error.1.iotype=write";
        assert!(drives[0].contains("blkdebug") && drives[0].contains(rules), "{drives:?}");
        assert_eq!(drives[1], "driver=null-co,throttling.iops-total=300");
        let refused = apply(disks(), &["vdc:read".parse().unwrap()], &[]).unwrap_err();
        assert!(refused.contains("/dev/vdc"), "{refused}");
        assert!(apply(vec![Disk::swap(Size::mebibytes(1))], &[], &[]).is_ok());
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in
            ["", "reed", "read:", "read:-1", "read:x", "flush:3", "vda:", "vdaa:read", "sda:read", "read:99999999999"]
        {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
        for wrong in ["", "0", "-1", "fast", "vda:", "read:3"] {
            assert!(wrong.parse::<Slow>().is_err(), "{wrong}");
        }
    }
}
