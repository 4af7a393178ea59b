//! Linux's error numbers, as system calls return them. Inside the kernel each layer has errors of its own; they become
//! numbers only where a call or an attribute answers a program.

use core::fmt;

use linux_raw_sys::errno as linux;
use quire_machine::fallible::NoMemory;
use quire_memory::object::Busy;

/// A Linux error number; the constants have Linux's names (`errno(3)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(u32);

macro_rules! numbers {
    ($($name:ident)*) => {
        #[expect(missing_docs, reason = "errno(3) says what each one means")]
        impl Errno {
            $(pub const $name: Self = Self(linux::$name);)*

            /// The name, as in `errno.h`.
            fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

numbers! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV
    ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE
    EDEADLK ENAMETOOLONG ENOSYS ENOTEMPTY ELOOP ENODATA ETIME EPROTO EBADMSG EOVERFLOW ENOTSOCK EOPNOTSUPP EALREADY
    ETIMEDOUT EHWPOISON ENOLCK EUCLEAN
}

impl Errno {
    /// The call was interrupted by a signal before it did anything: done again after a handler with `SA_RESTART` or when
    /// there is none; otherwise `EINTR`. Programs never see this number, nor the other three (Linux: `ERESTARTSYS`).
    pub const RESTART: Self = Self(512);
    /// Done again whatever the handler says (Linux: `ERESTARTNOINTR`).
    pub const RESTART_ALWAYS: Self = Self(513);
    /// Done again only when there was no handler (Linux: `ERESTARTNOHAND`).
    pub const RESTART_WITHOUT_HANDLER: Self = Self(514);
    /// Gone on with by `restart_syscall`, and only when there was no handler (Linux: `ERESTART_RESTARTBLOCK`).
    pub const RESTART_LATER: Self = Self(516);

    /// The positive number, as in `errno.h`.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether this is for the way back to the program alone, which never sees it.
    pub const fn is_internal(self) -> bool {
        matches!(self, Self::RESTART | Self::RESTART_ALWAYS | Self::RESTART_WITHOUT_HANDLER | Self::RESTART_LATER)
    }

    /// What the system call's result register holds for this error.
    pub const fn to_register(self) -> u64 {
        (self.0 as u64).wrapping_neg()
    }

    /// The error that a result register holds, if it holds one.
    pub const fn from_register(register: u64) -> Option<Self> {
        let number = register.wrapping_neg();
        if number >= 1 && number < 4096 { Some(Self(number as u32)) } else { None }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl From<quire_machine::user::Fault> for Errno {
    fn from(_: quire_machine::user::Fault) -> Self {
        Self::EFAULT
    }
}

/// Seen by no program: the one that was killed does not run again.
impl From<quire_machine::task::Killed> for Errno {
    fn from(_: quire_machine::task::Killed) -> Self {
        Self::EINTR
    }
}

impl From<NoMemory> for Errno {
    fn from(NoMemory: NoMemory) -> Self {
        Self::ENOMEM
    }
}

impl From<Busy> for Errno {
    fn from(Busy: Busy) -> Self {
        Self::ETXTBSY
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;

    #[test]
    fn a_register_holds_an_error_or_a_value() {
        assert_eq!(Errno::ENOSYS.to_register(), (-38_i64).cast_unsigned());
        assert_eq!(Errno::from_register((-38_i64).cast_unsigned()), Some(Errno::ENOSYS));
        for value in [0, 1, 4096, 0xffff_8000_0000_0000, (-4096_i64).cast_unsigned()] {
            assert_eq!(Errno::from_register(value), None, "{value:#x}");
        }
    }

    #[test]
    fn errors_have_their_names() {
        assert_eq!(Errno::EINVAL.to_string(), "EINVAL");
        assert_eq!(Errno::RESTART.to_string(), "error 512");
    }
}
