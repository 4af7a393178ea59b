//! How a run ended, as words and as an exit status.

use std::{fmt, process::ExitStatus, time::Duration};

use quire_protocol::Verdict;

/// What QEMU prints, to the serial line or as a message of its own, when a person leaves by Ctrl-A X or from the
/// debugger; its exit status is then that of a reset.
const LEFT_BY_PERSON: &str = "QEMU: Terminated";

/// A guest's run from power-on to its end.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// Everything that the guest wrote to the serial line after the firmware; what is not UTF-8 is replaced.
    pub log: String,
    /// From QEMU's start to its end.
    pub elapsed: Duration,
    /// What QEMU itself had to say.
    pub qemu_messages: String,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The guest gave this verdict.
    Verdict(Verdict),
    /// The guest reset itself: a triple fault, unless it meant to.
    Reset,
    /// QEMU ended with this exit status, which is no verdict.
    QemuFailed(i32),
    /// QEMU was killed, by a signal if the number is known.
    QemuKilled(Option<i32>),
    /// The guest was still running after this time.
    TimedOut(Duration),
    /// A person or another program ended it: Ctrl-A X, Ctrl-C, SIGTERM.
    Stopped,
}

impl Status {
    /// What QEMU's exit status, the serial log and QEMU's own messages say.
    pub fn of_qemu(exit: ExitStatus, log: &str, messages: &str) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match exit.code() {
            None => Self::QemuKilled(exit.signal()),
            Some(0) if log.trim_end().ends_with(LEFT_BY_PERSON) || messages.contains(LEFT_BY_PERSON) => Self::Stopped,
            Some(0) => Self::Reset,
            Some(code) => Verdict::from_qemu_status(code).map_or(Self::QemuFailed(code), Self::Verdict),
        }
    }

    /// Whether QEMU's own messages can explain it.
    pub const fn is_qemus_fault(self) -> bool {
        matches!(self, Self::QemuFailed(_) | Self::QemuKilled(_))
    }

    /// Whether the guest did its work and every check held.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Verdict(Verdict::Success))
    }

    /// The exit status of the program: 0 success, 1 the guest reported failure, 3 crash, 124 timed out (as `timeout`
    /// does), 130 stopped from outside (as a shell does).
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Verdict(Verdict::Success) => 0,
            Self::Verdict(Verdict::Failure) => 1,
            Self::Verdict(Verdict::Panic) | Self::Reset | Self::QemuFailed(_) | Self::QemuKilled(_) => 3,
            Self::TimedOut(_) => 124,
            Self::Stopped => 130,
        }
    }
}

/// One line: how it ended, and what to do next.
impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict(Verdict::Success) => formatter.write_str("success: the guest ended without a failure"),
            Self::Verdict(Verdict::Failure) => {
                formatter.write_str("failure: the guest reported that something did not hold; its last lines say what")
            }
            Self::Verdict(Verdict::Panic) => formatter
                .write_str("crash: the kernel panicked; its report ends the log, and --gdb stops before it happens"),
            Self::Reset => formatter.write_str(
                "crash: the guest reset without a verdict (a triple fault?); --gdb with a breakpoint after the last \
                 line of the log shows where",
            ),
            Self::QemuFailed(code) => {
                write!(formatter, "crash: QEMU ended with status {code}, which is no verdict of the guest")
            }
            Self::QemuKilled(Some(signal)) => {
                write!(formatter, "crash: QEMU was killed by signal {signal}; is the host out of memory?")
            }
            Self::QemuKilled(None) => formatter.write_str("crash: QEMU was killed"),
            Self::TimedOut(limit) => write!(
                formatter,
                "timed out: no verdict after {} s; --timeout gives it longer, --gdb shows where it is",
                limit.as_secs()
            ),
            Self::Stopped => formatter.write_str("stopped: left before the guest gave a verdict"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

    use quire_protocol::Verdict;

    use super::Status;

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn each_end_of_qemu_has_its_status_and_exit_code() {
        let killed = ExitStatus::from_raw(9);
        for (exit, log, status, code) in [
            (exited(33), "", Status::Verdict(Verdict::Success), 0),
            (exited(35), "", Status::Verdict(Verdict::Failure), 1),
            (exited(37), "", Status::Verdict(Verdict::Panic), 3),
            (exited(0), "hello\n", Status::Reset, 3),
            (exited(0), "hello\nQEMU: Terminated\n\r", Status::Stopped, 130),
            (exited(33), "QEMU: Terminated", Status::Verdict(Verdict::Success), 0),
            (exited(1), "hello\n", Status::QemuFailed(1), 3),
            (exited(39), "", Status::QemuFailed(39), 3),
            (killed, "", Status::QemuKilled(Some(9)), 3),
        ] {
            assert_eq!(Status::of_qemu(exit, log, ""), status, "{exit} {log:?}");
            assert_eq!(status.exit_code(), code, "{status}");
            assert_eq!(status.is_success(), code == 0, "{status}");
        }
        assert_eq!(Status::of_qemu(exited(0), "", "qemu: QEMU: Terminated via GDBstub\n"), Status::Stopped);
        assert_eq!(Status::TimedOut(Duration::from_secs(1)).exit_code(), 124);
    }

    #[test]
    fn each_status_says_in_one_line_which_it_is() {
        for (status, first_word) in [
            (Status::Verdict(Verdict::Success), "success: "),
            (Status::Verdict(Verdict::Failure), "failure: "),
            (Status::Verdict(Verdict::Panic), "crash: "),
            (Status::Reset, "crash: "),
            (Status::QemuFailed(1), "crash: "),
            (Status::QemuKilled(None), "crash: "),
            (Status::TimedOut(Duration::from_secs(90)), "timed out: no verdict after 90 s"),
            (Status::Stopped, "stopped: "),
        ] {
            let line = status.to_string();
            assert!(line.starts_with(first_word) && !line.contains('\n') && !line.contains("  "), "{line}");
        }
    }
}
