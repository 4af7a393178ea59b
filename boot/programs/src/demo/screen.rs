//! What the show puts on the screen, in 80 columns: an act's announcement, the bar, a table, its conclusion, the figure to remember.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use nix::libc;

use crate::files;

/// The widest line: a terminal of 80 columns would put a longer one on two.
const WIDTH: usize = 78;
const BAR: u64 = 20;

/// Says which act comes, and what will be seen.
pub(super) fn announce(number: usize, of: usize, name: &str, about: &str) {
    println!("\nAct {number} of {of}: {name}");
    println!("{}", wrapped(about, ""));
}

/// A paragraph behind or before a table.
pub(super) fn paragraph(text: &str) {
    println!("{}", wrapped(text, "  "));
}

/// The last line, for programs one line whatever its length.
pub(super) fn last_line(text: &str) -> String {
    if is_terminal() { wrapped(text, "") } else { text.to_owned() }
}

/// The one figure of an act.
pub(super) fn remember(text: &str) {
    println!("\n{}", wrapped(&format!("To remember: {text}"), "  "));
}

/// An amount of memory.
pub(super) fn mib(pages: u64) -> String {
    tenths(pages * 10, 256)
}

/// A quotient with one digit after the point, of which `tenfold` is ten times the dividend.
pub(super) fn tenths(tenfold: u64, divisor: u64) -> String {
    let tenths = tenfold.checked_div(divisor);
    tenths.map_or("-".to_owned(), |tenths| format!("{}.{}", tenths / 10, tenths % 10))
}

pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

/// Prints a table: `heads` are the columns' names, with a line end where one is to be broken.
pub(super) fn table<const COLUMNS: usize>(heads: [&str; COLUMNS], rows: &[[String; COLUMNS]]) {
    println!("\n{}", as_table(heads, rows));
}

fn as_table<const COLUMNS: usize>(heads: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        let head = heads[column].lines().map(str::len).max().unwrap_or(0);
        rows.iter().map(|row| row[column].len()).fold(head, usize::max)
    });
    let height = heads.iter().map(|head| head.lines().count()).max().unwrap_or(0);
    let head = |line: usize| {
        heads.map(|head| {
            let above = height - head.lines().count();
            line.checked_sub(above).and_then(|line| head.lines().nth(line)).unwrap_or("").to_owned()
        })
    };
    let mut text = String::new();
    for row in (0..height).map(head).chain(rows.iter().cloned()) {
        let mut line = format!("  {:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            line.extend(["  ".to_owned(), format!("{cell:>width$}")]);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// The words of `text` in lines that begin with `indent` and are not too long.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![indent.to_owned()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().filter(|line| line.len() + 1 + word.len() <= WIDTH);
        match line {
            Some(line) if line.len() == indent.len() => line.push_str(word),
            Some(line) => line.extend([" ", word]),
            None => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n")
}

/// How far an act is: a bar in place in a terminal, a line now and then elsewhere.
pub(super) struct Bar {
    in_place: bool,
    total: u64,
    /// Of the parts that have ended.
    done: u64,
    next: Instant,
}

impl Bar {
    /// For work of `total` steps.
    pub(super) fn new(total: u64) -> Self {
        let in_place = is_terminal();
        let mut bar = Self { in_place, total: total.max(1), done: 0, next: Instant::now() };
        bar.next += bar.interval();
        bar
    }

    const fn interval(&self) -> Duration {
        if self.in_place { Duration::from_millis(200) } else { Duration::from_secs(2) }
    }

    /// So many steps of the part that is `what` are done.
    pub(super) fn show(&mut self, steps: u64, what: &str) -> io::Result<()> {
        if Instant::now() < self.next {
            return Ok(());
        }
        self.next += self.interval();
        let [total, free] = ["SwapTotal", "SwapFree"].map(|name| files::number("/proc/meminfo", name));
        let (total, free) = (total?, free?);
        let swap = format!("swap used: {} of {} MiB", (total - free) >> 10, total >> 10);
        let percent = ((self.done + steps) * 100 / self.total).min(100);
        if self.in_place {
            let full = (percent * BAR / 100) as usize;
            let bar = "#".repeat(full) + &".".repeat(BAR as usize - full);
            print!("\r  [{bar}] {percent:3} %  {what:14} {swap}\x1b[K");
            io::stdout().flush()
        } else {
            println!("  {percent} %, {what}, {swap}");
            Ok(())
        }
    }

    /// A part of so many steps has ended.
    pub(super) const fn ended(&mut self, steps: u64) {
        self.done += steps;
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.in_place {
            print!("\r\x1b[K");
            let _ = io::stdout().flush();
        }
    }
}

/// Whether a person looks at what is printed: a serial line has a size only if it was told the one of a terminal.
fn is_terminal() -> bool {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes a `winsize`.
    let answer = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    answer == 0 && size.ws_col > 0
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, as_table, mib, tenths, wrapped};

    #[test]
    fn a_quotient_has_one_digit_after_the_point() {
        assert_eq!(tenths(470, 3), "15.6");
        assert_eq!(tenths(0, 7), "0.0");
        assert_eq!(tenths(70, 0), "-");
        assert_eq!(mib(384), "1.5");
    }

    #[test]
    fn lines_are_not_too_long_and_lose_nothing() {
        let text = "word ".repeat(100) + "longer-word";
        let lines = wrapped(&text, "  ");
        assert!(lines.lines().all(|line| line.len() <= WIDTH && line.starts_with("  ")), "{lines}");
        assert_eq!(lines.split_whitespace().count(), 101);
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["first".to_owned(), "1".to_owned()], ["second one".to_owned(), "123456789".to_owned()]];
        let table = as_table(["name", "pages\nout"], &rows);
        assert_eq!(
            table.lines().collect::<Vec<_>>(),
            [
                "                  pages",
                "  name              out",
                "  first               1",
                "  second one  123456789"
            ]
        );
    }
}
