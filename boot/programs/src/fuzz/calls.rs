//! The calls, and of what kind their arguments are.

#![allow(clippy::wildcard_imports, clippy::enum_glob_use, reason = "nearly all of both are in the table")]

use nix::libc::*;

use super::arguments::Kind::{self, *};

/// A call: its name, its number and its arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) number: c_long,
    pub(super) arguments: &'static [Kind],
    pub(super) how: How,
}

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// As often as others.
    Often,
    /// Seldom: it ends the process, or waits until it is ended.
    Seldom,
    /// What comes back twice; the child ends at once, and touches nothing.
    Forks,
}

/// Left out, by number: what ends the machine by right.
pub(super) const LEFT_OUT_FOR_ROOT: &[(c_long, &str)] =
    &[(SYS_reboot, "it ends the machine"), (SYS_kexec_load, "it does"), (SYS_kexec_file_load, "it does")];

const OPEN: &[u64] = &[
    O_RDONLY as u64,
    O_WRONLY as u64,
    O_RDWR as u64,
    O_CREAT as u64,
    O_EXCL as u64,
    O_TRUNC as u64,
    O_APPEND as u64,
    O_NONBLOCK as u64,
    O_DIRECTORY as u64,
    O_NOFOLLOW as u64,
    O_CLOEXEC as u64,
    O_PATH as u64,
    O_TMPFILE as u64,
    O_SYNC as u64,
    O_NOCTTY as u64,
    O_DIRECT as u64,
];
const AT: &[u64] =
    &[AT_SYMLINK_NOFOLLOW as u64, AT_REMOVEDIR as u64, AT_SYMLINK_FOLLOW as u64, AT_EMPTY_PATH as u64, 0x800];
const PROTECTION: &[u64] = &[0, 1, 2, 4, 1, 2, 0x0100_0000];
const MAP: &[u64] = &[1, 2, 3, 0x10, 0x20, 0x20, 0x40, 0x800, 0x2000, 0x4000, 0x8000, 0x1_0000, 0x10_0000, 0x100];
const CLONE: &[u64] = &[
    SIGCHLD as u64,
    SIGCHLD as u64,
    CLONE_VM as u64 | CLONE_VFORK as u64,
    CLONE_FILES as u64,
    CLONE_FS as u64,
    CLONE_SIGHAND as u64,
    CLONE_THREAD as u64,
    CLONE_SETTLS as u64,
    CLONE_PARENT_SETTID as u64,
    CLONE_CHILD_CLEARTID as u64,
    CLONE_CHILD_SETTID as u64,
    CLONE_PARENT as u64,
];
const ADVICE: &[u64] =
    &[0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 21, 21, 22, 23, 24, 25, 100, 101];
const FCNTL: &[u64] =
    &[0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 15, 16, 36, 37, 38, 1024, 1025, 1026, 1030, 1031, 1032, 1033, 1034];
const PRCTL: &[u64] = &[1, 2, 3, 4, 8, 14, 15, 16, 22, 23, 24, 36, 37, 38, 39, 40, 41, 47, 0x5356_4d41];
const FUTEX: &[u64] = &[0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 128, 129, 131, 132, 133, 137, 138, 256, 265, 393];
/// Requests of terminals, of block devices, of everything.
const REQUESTS: &[u64] = &[
    0x5401,
    0x5402,
    0x5403,
    0x5404,
    0x5409,
    0x540a,
    0x540b,
    0x540e,
    0x540e,
    0x540f,
    0x5410,
    0x5411,
    0x5413,
    0x5414,
    0x541b,
    0x541e,
    0x5421,
    0x5422,
    0x5425,
    0x5429,
    0x5450,
    0x5451,
    0x5452,
    0x125d,
    0x125e,
    0x1260,
    0x1261,
    0x1264,
    0x1268,
    0x1277,
    0x127b,
    0x127d,
    0x127f,
    0x8008_1272,
    0x8008_1270,
    0xc020_660b,
    0x8004_6601,
    0x4004_6602,
];

macro_rules! calls {
    ($($how:ident $name:ident $number:ident ($($kind:expr),*);)*) => {
        /// Every call that Linux has and a static program of one thread may make, and some that Quire has not.
        pub(super) const CALLS: &[Call] = &[$(
            Call { name: stringify!($name), number: $number, arguments: &[$($kind),*], how: How::$how },
        )*];
    };
}

calls! {
    Often read SYS_read (File, Buffer, Length);
    Often write SYS_write (File, Buffer, Length);
    Often pread64 SYS_pread64 (File, Buffer, Length, Offset);
    Often pwrite64 SYS_pwrite64 (File, Buffer, Length, Offset);
    Often readv SYS_readv (File, Vectors, Small(9));
    Often writev SYS_writev (File, Vectors, Small(9));
    Often preadv SYS_preadv (File, Vectors, Small(9), Offset, Number);
    Often pwritev SYS_pwritev (File, Vectors, Small(9), Offset, Number);
    Often preadv2 SYS_preadv2 (File, Vectors, Small(9), Offset, Number, Bits(&[1, 2, 4, 8, 16]));
    Often lseek SYS_lseek (File, Offset, Small(6));
    Often sendfile SYS_sendfile (File, File, Words(1), Length);
    Often copy_file_range SYS_copy_file_range (File, Words(1), File, Words(1), Length, Small(2));
    Often splice SYS_splice (File, Words(1), File, Words(1), Length, Small(16));
    Often ftruncate SYS_ftruncate (File, Offset);
    Often truncate SYS_truncate (Own, Offset);
    Often fallocate SYS_fallocate (File, Bits(&[0, 1, 2, 3, 8, 16]), Offset, Offset);
    Often fsync SYS_fsync (File);
    Often syncfs SYS_syncfs (File);
    Often fadvise64 SYS_fadvise64 (File, Offset, Offset, Small(8));
    Often ioctl SYS_ioctl (File, One(REQUESTS), Argument);
    Often ioctl SYS_ioctl (Terminal, One(REQUESTS), Argument);
    Often fcntl SYS_fcntl (File, One(FCNTL), Argument);
    Often flock SYS_flock (File, Bits(&[4, 1, 2, 8]));
    Often open SYS_open (Path, OpenBits(OPEN), Mode);
    Often openat SYS_openat (Directory, Path, OpenBits(OPEN), Mode);
    Often creat SYS_creat (Own, Mode);
    Often close SYS_close (File);
    Often close_range SYS_close_range (File, File, Bits(&[2, 4]));
    Often dup SYS_dup (File);
    Often dup2 SYS_dup2 (File, File);
    Often dup3 SYS_dup3 (File, File, Bits(&[O_CLOEXEC as u64]));
    Often pipe SYS_pipe (Words(1));
    Often pipe2 SYS_pipe2 (Words(1), Bits(&[O_CLOEXEC as u64, O_NONBLOCK as u64, O_DIRECT as u64]));
    Often memfd_create SYS_memfd_create (Own, Bits(&[1, 2, 4, 8, 16]));
    Often eventfd2 SYS_eventfd2 (Number, Bits(&[1, O_CLOEXEC as u64, O_NONBLOCK as u64]));
    Often epoll_create1 SYS_epoll_create1 (Bits(&[O_CLOEXEC as u64]));
    Often socket SYS_socket (Small(12), Small(6), Small(8));
    Often getdents64 SYS_getdents64 (File, Buffer, Length);
    Often mkdir SYS_mkdir (Own, Mode);
    Often mkdirat SYS_mkdirat (Directory, Own, Mode);
    Often mknod SYS_mknod (Own, One(&[0o10_644, 0o20_644, 0o60_600, 0o100_644, 0o140_644, 0o40_755]), One(&[0, 0x103, 0x105, 0x501, 0xfe7]));
    Often symlink SYS_symlink (Path, Own);
    Often symlinkat SYS_symlinkat (Path, Directory, Own);
    Often link SYS_link (Path, Own);
    Often linkat SYS_linkat (Directory, Path, Directory, Own, Bits(AT));
    Often unlink SYS_unlink (Own);
    Often unlinkat SYS_unlinkat (Directory, Own, Bits(AT));
    Often rmdir SYS_rmdir (Own);
    Often rename SYS_rename (Own, Own);
    Often renameat2 SYS_renameat2 (Directory, Own, Directory, Own, Bits(&[1, 2, 4]));
    Often stat SYS_stat (Path, Buffer);
    Often lstat SYS_lstat (Path, Buffer);
    Often fstat SYS_fstat (File, Buffer);
    Often newfstatat SYS_newfstatat (Directory, Path, Buffer, Bits(AT));
    Often statx SYS_statx (Directory, Path, Bits(AT), Number, Buffer);
    Often statfs SYS_statfs (Path, Buffer);
    Often fstatfs SYS_fstatfs (File, Buffer);
    Often access SYS_access (Path, Small(8));
    Often faccessat2 SYS_faccessat2 (Directory, Path, Small(8), Bits(AT));
    Often chmod SYS_chmod (Own, Mode);
    Often fchmod SYS_fchmod (OwnFile, Mode);
    Often fchmodat SYS_fchmodat (Directory, Own, Mode);
    Often chown SYS_chown (Own, Id, Id);
    Often lchown SYS_lchown (Own, Id, Id);
    Often fchown SYS_fchown (OwnFile, Id, Id);
    Often fchownat SYS_fchownat (Directory, Own, Id, Id, Bits(AT));
    Often utimensat SYS_utimensat (Directory, Own, Words(4), Bits(AT));
    Often readlink SYS_readlink (Path, Buffer, Length);
    Often readlinkat SYS_readlinkat (Directory, Path, Buffer, Length);
    Often getxattr SYS_getxattr (Path, Own, Buffer, Length);
    Often chdir SYS_chdir (Path);
    Often fchdir SYS_fchdir (File);
    Often getcwd SYS_getcwd (Buffer, Length);
    Often chroot SYS_chroot (Path);
    Often umask SYS_umask (Mode);
    Often mount SYS_mount (Own, Own, Text(super::names::FILE_SYSTEMS), Bits(&[0, 1, 2, 4, 8, 32, 4096, 8192]), Text(super::names::OPTIONS));
    Often umount2 SYS_umount2 (Own, Bits(&[1, 2, 4, 8]));
    Often swapon SYS_swapon (Text(super::names::SWAPS), Bits(&[0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 5]));
    Often swapoff SYS_swapoff (Text(super::names::SWAPS));
    Often mmap SYS_mmap (Address, Span, Bits(PROTECTION), Bits(MAP), File, Offset);
    Often mmap SYS_mmap (Address, Span, One(&[0, 1, 3]), One(&[0x21, 0x22, 0x32, 0x4022, 0x8022, 0x10_0022]), One(&[!0]), One(&[0]));
    Often mprotect SYS_mprotect (Address, Span, Bits(PROTECTION));
    Often munmap SYS_munmap (Address, Span);
    Often mremap SYS_mremap (Address, Span, Span, Bits(&[1, 2, 4]), Address);
    Often brk SYS_brk (Address);
    Often msync SYS_msync (Address, Span, Bits(&[1, 2, 4]));
    Often mincore SYS_mincore (Address, Span, Buffer);
    Often madvise SYS_madvise (Address, Span, One(ADVICE));
    Often madvise SYS_madvise (Address, Span, One(&[4, 8, 9, 21, 22, 23]));
    Often process_madvise SYS_process_madvise (File, Vectors, Small(9), One(ADVICE), Small(2));
    Often mlock SYS_mlock (Address, Span);
    Often mlock2 SYS_mlock2 (Address, Span, Small(3));
    Often munlock SYS_munlock (Address, Span);
    Often mlockall SYS_mlockall (Bits(&[1, 2, 4]));
    Often munlockall SYS_munlockall ();
    Often remap_file_pages SYS_remap_file_pages (Address, Span, Number, Offset, Number);
    Often process_vm_readv SYS_process_vm_readv (Process, Vectors, Small(9), Vectors, Small(9), Number);
    Often poll SYS_poll (Words(16), Small(12), Small(9));
    Often ppoll SYS_ppoll (Words(16), Small(12), Time, Words(1), Exactly(8));
    Often select SYS_select (Small(1100), Words(16), Words(16), Words(16), Time);
    Often pselect6 SYS_pselect6 (Small(70), Words(16), Words(16), Words(16), Time, Words(2));
    Forks fork SYS_fork ();
    Forks vfork SYS_vfork ();
    Forks clone SYS_clone (Bits(CLONE), Buffer, Words(1), Words(1), Buffer);
    Forks clone3 SYS_clone3 (Words(11), Exactly(88));
    Seldom execve SYS_execve (Path, Strings, Strings);
    Often execve SYS_execve (Own, Strings, Strings);
    Often execve SYS_execve (Path, Buffer, Argument);
    Often wait4 SYS_wait4 (Process, Buffer, Bits(&[1, 1, 2, 8]), Buffer);
    Often waitid SYS_waitid (Small(5), Process, Buffer, Bits(&[5, 1, 4, 2, 8, 0x0100_0000]), Buffer);
    Often set_tid_address SYS_set_tid_address (Buffer);
    Often set_robust_list SYS_set_robust_list (Words(3), Exactly(24));
    Often get_robust_list SYS_get_robust_list (Process, Buffer, Buffer);
    Often futex SYS_futex (Words(1), One(FUTEX), Small(3), Time, Words(1), Number);
    Seldom arch_prctl SYS_arch_prctl (One(&[0x1001, 0x1002, 0x1003, 0x1004, 0x1011, 0x1012]), Buffer);
    Often prctl SYS_prctl (One(PRCTL), Argument, Argument, Argument, Argument);
    Often prlimit64 SYS_prlimit64 (Process, Small(18), Words(2), Buffer);
    Often getrlimit SYS_getrlimit (Small(18), Buffer);
    Often setrlimit SYS_setrlimit (Small(18), Words(2));
    Often getrusage SYS_getrusage (One(&[0, !0, 1, !1, 7]), Buffer);
    Often times SYS_times (Buffer);
    Often sched_yield SYS_sched_yield ();
    Often sched_getaffinity SYS_sched_getaffinity (Process, Length, Buffer);
    Often sched_setaffinity SYS_sched_setaffinity (Process, Length, Buffer);
    Often sched_setscheduler SYS_sched_setscheduler (Process, Small(7), Words(1));
    Often setpriority SYS_setpriority (Small(4), Process, Number);
    Often setpgid SYS_setpgid (Process, Process);
    Often getpgid SYS_getpgid (Process);
    Often setsid SYS_setsid ();
    Often getsid SYS_getsid (Process);
    Often setuid SYS_setuid (Id);
    Often setgid SYS_setgid (Id);
    Often setreuid SYS_setreuid (Id, Id);
    Often setregid SYS_setregid (Id, Id);
    Often setresuid SYS_setresuid (Id, Id, Id);
    Often setresgid SYS_setresgid (Id, Id, Id);
    Often setfsuid SYS_setfsuid (Id);
    Often setfsgid SYS_setfsgid (Id);
    Often getresuid SYS_getresuid (Buffer, Buffer, Buffer);
    Often getgroups SYS_getgroups (Argument, Buffer);
    Often setgroups SYS_setgroups (Small(20), Words(16));
    Often setgroups SYS_setgroups (Argument, Buffer);
    Often rt_sigaction SYS_rt_sigaction (Signal, Action, Buffer, Exactly(8));
    Often rt_sigprocmask SYS_rt_sigprocmask (Small(4), Words(1), Buffer, Exactly(8));
    Often rt_sigpending SYS_rt_sigpending (Buffer, Exactly(8));
    Seldom rt_sigsuspend SYS_rt_sigsuspend (Words(1), Exactly(8));
    Often rt_sigtimedwait SYS_rt_sigtimedwait (Words(1), Buffer, Time, Exactly(8));
    Often rt_sigqueueinfo SYS_rt_sigqueueinfo (Process, Signal, Words(16));
    Often rt_tgsigqueueinfo SYS_rt_tgsigqueueinfo (Process, Process, Signal, Words(16));
    Seldom rt_sigreturn SYS_rt_sigreturn ();
    Often sigaltstack SYS_sigaltstack (Words(3), Buffer);
    Often kill SYS_kill (Target, Signal);
    Often tkill SYS_tkill (Process, Signal);
    Often tgkill SYS_tgkill (Process, Process, Signal);
    Seldom pause SYS_pause ();
    Seldom exit SYS_exit (Number);
    Seldom exit_group SYS_exit_group (Number);
    Often uname SYS_uname (Buffer);
    Often sethostname SYS_sethostname (Buffer, Length);
    Often setdomainname SYS_setdomainname (Buffer, Length);
    Often sysinfo SYS_sysinfo (Buffer);
    Often syslog SYS_syslog (One(&[0, 1, 2, 3, 4, 5, 9, 10, 11, !0]), Buffer, Length);
    Often getrandom SYS_getrandom (Buffer, Length, Bits(&[1, 2, 4]));
    Often clock_gettime SYS_clock_gettime (One(&[0, 1, 2, 3, 4, 5, 6, 7, 11, !0, !6]), Buffer);
    Often clock_settime SYS_clock_settime (Small(3), Words(2));
    Often clock_getres SYS_clock_getres (Small(12), Buffer);
    Often settimeofday SYS_settimeofday (Words(2), Words(1));
    Often gettimeofday SYS_gettimeofday (Buffer, Buffer);
    Often nanosleep SYS_nanosleep (Time, Buffer);
    Often clock_nanosleep SYS_clock_nanosleep (Small(9), Small(2), Time, Buffer);
    Often restart_syscall SYS_restart_syscall ();
    Seldom alarm SYS_alarm (Number);
    Seldom setitimer SYS_setitimer (Small(4), Words(4), Buffer);
    Often getitimer SYS_getitimer (Small(4), Buffer);
    Often timerfd_create SYS_timerfd_create (Small(9), Bits(&[O_CLOEXEC as u64, O_NONBLOCK as u64]));
    Often pidfd_open SYS_pidfd_open (Process, Small(3));
    Often unshare SYS_unshare (Bits(CLONE));
    Often getcpu SYS_getcpu (Buffer, Buffer, Buffer);
    Often membarrier SYS_membarrier (Small(4), Small(2), Small(2));
}

#[cfg(test)]
mod tests {
    use super::{CALLS, LEFT_OUT_FOR_ROOT};

    #[test]
    fn no_call_is_in_the_list_and_left_out() {
        assert!(CALLS.len() > 150);
        assert!(CALLS.iter().all(|call| call.arguments.len() <= 6), "a call has more arguments than registers");
        assert!(CALLS.iter().all(|call| LEFT_OUT_FOR_ROOT.iter().all(|(number, _)| call.number != *number)));
    }
}
