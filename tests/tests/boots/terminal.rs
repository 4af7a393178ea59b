//! A person at the terminal: keys go to the serial port, and what the shell and the line discipline make of them comes
//! back.

use std::process::Command;

use quire_tests::launcher;
use rexpect::session::{PtySession, spawn_command};

/// Against an answer that never comes, in milliseconds. The first one waits for the kernel to be built.
const LIMIT: u64 = 1_200_000;
const PROMPT: &str = "quire:~# ";

/// A shell in the guest, with a person's terminal.
pub(super) struct Shell(PtySession);

impl Shell {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these further arguments for the launcher.
    pub(super) fn start_with(arguments: &[&str]) -> Self {
        let mut launcher = Command::new(launcher::program());
        launcher.arg("shell").args(arguments);
        let mut shell = Self(spawn_command(launcher, Some(LIMIT)).expect("the launcher starts"));
        shell.sees(PROMPT);
        shell
    }

    /// Waits for `text`; returns what came before.
    pub(super) fn sees(&mut self, text: &str) -> String {
        self.0.exp_string(text).unwrap_or_else(|error| panic!("waiting for {text:?}: {error}"))
    }

    /// Waits for the prompt; returns what came before.
    pub(super) fn ends_command(&mut self) -> String {
        self.sees(PROMPT)
    }

    /// Leaves the shell, and so the machine.
    pub(super) fn leave(mut self) {
        self.types("exit\r");
        let said = self.0.exp_eof().expect("the launcher ends");
        assert!(said.contains("quire: success"), "the launcher did not end well:\n{said}");
    }

    pub(super) fn types(&mut self, keys: &str) {
        self.0.send(keys).and_then(|_| self.0.flush()).expect("the launcher listens");
    }

    /// Types a command that does not end by itself; waits until its job has begun, which has the terminal from then on: a key that
    /// comes earlier is the shell's.
    fn starts(&mut self, command: &str) {
        self.types(&format!("(echo be''gun; {command})\r"));
        self.sees("\nbegun\r");
    }

    /// Presses a key together with the control key; `answer`, if there is one, has to come before the next prompt.
    fn presses_control(&mut self, key: u8, answer: &str) {
        self.types(char::from(key & 0x1f).encode_utf8(&mut [0; 4]));
        self.answers(answer);
    }

    /// Types a command; `answer` has to come before the next prompt.
    pub(super) fn does(&mut self, command: &str, answer: &str) {
        self.types(command);
        self.types("\r");
        // The command as it is echoed, so that it is not taken for the answer.
        self.sees("\n");
        self.answers(answer);
    }

    fn answers(&mut self, answer: &str) {
        let printed = self.0.exp_string(PROMPT).unwrap_or_else(|error| panic!("waiting for the prompt: {error}"));
        assert!(printed.contains(answer), "{answer:?} was to come before the prompt, not {printed:?}");
    }
}

#[test]
fn a_person_edits_lines_and_controls_jobs() {
    let mut shell = Shell::start();
    shell.does("echo one two | tr a-z A-Z", "ONE TWO");
    shell.does("tty", "/dev/console");
    shell.does("help", "demo [--act N]");

    // Line editing is the terminal's while `cat` reads, and the end of a file is a key.
    shell.starts("cat");
    shell.types("wrong\u{15}rigth\u{7f}\u{7f}ht\r");
    shell.sees("\nright\r");
    shell.presses_control(b'D', "");

    // Keys that send signals.
    shell.starts("sleep 1000");
    shell.presses_control(b'C', "^C");
    shell.does("echo $?", "130");
    shell.starts("while true; do :; done");
    shell.presses_control(b'C', "");
    shell.starts("sleep 1000");
    shell.presses_control(b'\\', "Quit");

    // Jobs: stopped by a key, continued in the background and in the foreground.
    shell.starts("sleep 1000");
    shell.presses_control(b'Z', "Stopped");
    shell.does("bg", "sleep 1000");
    shell.does("jobs", "Running");
    shell.does("kill %1; wait %1; echo $?", "143");

    // Whoever reads in the background stops, and reads on in the foreground; whoever writes stops if it is so set.
    shell.types("cat &\r");
    shell.sees(PROMPT);
    shell.does("wait %1; jobs", "Stopped (tty input)");
    shell.types("fg\r");
    shell.sees("\ncat\r");
    shell.types("continued\r");
    // Twice: as it is typed and as `cat` writes it. A key that comes before `cat` has the terminal would be the shell's.
    shell.sees("continued\r");
    shell.sees("continued\r");
    shell.presses_control(b'C', "");
    shell.does("echo $?", "130");
    shell.does("jobs | wc -l", "0");
    shell.types("cat &\r");
    shell.sees(PROMPT);
    // `wait` would return at once: to the shell the job is stopped until it has heard of its end, which `fg` waits for.
    shell.does("wait %1; kill -9 %1; fg; echo $?", "137");
    shell.types("stty tostop; (echo hid''den) &\r");
    shell.sees(PROMPT);
    shell.does("wait %1; jobs", "Stopped (tty output)");
    shell.types("fg; stty -tostop\r");
    shell.sees("\nhidden\r");
    shell.sees(PROMPT);

    shell.types("exit\r");
    shell.sees("quire: success");
    shell.0.exp_eof().expect("the launcher ends");
}
