//! Files without names.

use linux_raw_sys::general as linux;

use super::arguments::{Arguments, Calls, Outcome};
use super::user_data;
use crate::errno::Errno;
use crate::fs::memory_file;
use crate::process::control_block::this;

pub(super) const CALLS: Calls = &[(linux::__NR_memfd_create, memfd_create)];

/// The bytes of a name, the zero behind it included: with what is put before it, it has to be a file's (`MFD_NAME_MAX_LEN`).
const NAME_BYTES: usize = 250;

/// Nothing can be sealed here, and there are no huge pages: who asks for that is refused, as by a Linux without them.
fn memfd_create(arguments: &Arguments<'_>) -> Outcome {
    let [name, flags, ..] = arguments.words();
    let sizes = linux::MFD_HUGE_MASK << linux::MFD_HUGE_SHIFT;
    match flags.low() & !(linux::MFD_CLOEXEC | linux::MFD_EXEC) {
        0 => {}
        huge if huge & linux::MFD_HUGETLB != 0 && huge & !(linux::MFD_HUGETLB | sizes) == 0 => {
            return Err(Errno::ENOSYS);
        }
        _ => return Err(Errno::EINVAL),
    }
    let name = user_data::string(name, NAME_BYTES, Errno::EINVAL)?;
    let process = this();
    let file = memory_file::new(&name, &process.credentials())?;
    process.files.add(file, 0, flags.low() & linux::MFD_CLOEXEC != 0).map(u64::from)
}
