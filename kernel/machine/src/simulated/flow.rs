//! Flows of control: threads of the host or, while shuttle explores schedules, of shuttle.

use std::cell::Cell;

use super::processor;

/// A flow of control, to be woken; and its number, 0 for the test's own.
#[derive(Clone, Debug)]
pub(super) struct Flow(Thread, u64);

#[derive(Clone, Debug)]
enum Thread {
    Host(std::thread::Thread),
    #[cfg(feature = "schedules")]
    Shuttle(shuttle::thread::Thread),
}

thread_local! {
    /// The number of the flow that this thread of the host is.
    static OWN: Cell<u64> = const { Cell::new(0) };
}

/// Bytes of a flow's stack: unoptimised code needs more than the kernel's.
pub(super) const STACK_BYTES: usize = 512 << 10;

/// Whether shuttle decides who goes on.
#[cfg(feature = "schedules")]
pub(super) fn is_exploring() -> bool {
    shuttle::current::try_get_current_task().is_some()
}

/// Whether shuttle decides who goes on: it is not there.
#[cfg(not(feature = "schedules"))]
pub(super) const fn is_exploring() -> bool {
    false
}

/// Runs what lets other flows go on, after which this one is itself again, and runs the processor that it ran before: under
/// shuttle, all are one thread of the host.
#[cfg(feature = "schedules")]
fn keep<R>(switch: impl FnOnce() -> R) -> R {
    let before = (processor::number(), OWN.get());
    let value = switch();
    processor::set_number(before.0);
    OWN.set(before.1);
    value
}

/// The caller is the test.
pub(super) fn start() {
    OWN.set(0);
}

impl Flow {
    /// The one that runs this.
    pub(super) fn current() -> Self {
        #[cfg(feature = "schedules")]
        if is_exploring() {
            return Self(Thread::Shuttle(shuttle::thread::current()), OWN.get());
        }
        Self(Thread::Host(std::thread::current()), OWN.get())
    }

    /// Its number.
    pub(super) const fn number(&self) -> u64 {
        self.1
    }

    /// Begins another of this number, which runs `run`.
    pub(super) fn begin(number: u64, run: impl FnOnce() + Send + 'static) {
        let run = move || {
            OWN.set(number);
            run();
        };
        #[cfg(feature = "schedules")]
        if is_exploring() {
            keep(|| shuttle::thread::spawn(run));
            return;
        }
        let started = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run);
        started.expect("the host has room for a thread");
    }

    /// Ends its wait, or the next if it does not wait.
    pub(super) fn wake(&self) {
        match &self.0 {
            Thread::Host(thread) => thread.unpark(),
            #[cfg(feature = "schedules")]
            Thread::Shuttle(thread) => keep(|| thread.unpark()),
        }
    }
}

/// Waits to be woken; may return without that.
pub(super) fn wait() {
    #[cfg(feature = "schedules")]
    if is_exploring() {
        return keep(shuttle::thread::park);
    }
    std::thread::park();
}

/// Lets others go on if shuttle wants that; for one that `spins`, it should.
pub(super) fn turn(spins: bool) {
    #[cfg(feature = "schedules")]
    if is_exploring() {
        if std::thread::panicking() {
            return;
        }
        return keep(|| {
            if spins {
                shuttle::thread::yield_now();
            } else {
                // Shuttle has no time: this is a point where it may switch, and no request to do so.
                shuttle::thread::sleep(std::time::Duration::ZERO);
            }
        });
    }
    if spins && !processor::is_of_machine() {
        std::thread::yield_now();
    }
}

/// One time out of `of` when shuttle explores, never otherwise.
#[cfg(feature = "schedules")]
pub(super) fn chance(of: u32) -> bool {
    use shuttle::rand::Rng;
    is_exploring() && !std::thread::panicking() && shuttle::rand::thread_rng().gen_ratio(1, of)
}

/// Never: nothing explores schedules.
#[cfg(not(feature = "schedules"))]
pub(super) const fn chance(_of: u32) -> bool {
    false
}
