//! The switch from one thread of the kernel to another: the one waits, the other has its turn.
//!
//! # Invariants
//!
//! What the scheduler keeps as a thread's stack pointer is the number of a context in `CONTEXTS`. A context is there from when its
//! thread is prepared, or switched from, until it is switched to.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use super::flow::{self, Flow};
use super::lock::locked;
use super::processor;

/// Where a context stands.
enum Context {
    /// It never ran, and begins here.
    New(extern "C-unwind" fn() -> !),
    /// It waits for its turn.
    Waits(Flow),
    /// It has its turn, on this processor.
    Runs(usize),
}

/// All that do not run.
struct Contexts {
    table: BTreeMap<u64, Context>,
    next: u64,
    /// The flows that were begun and have not ended, by number.
    flows: BTreeSet<u64>,
    /// The machine ends, and with it, one after the other, the threads that wait: the number of the one whose turn it is. Another
    /// may still be on its way to its wait, and would take locks on the same processor.
    ends: Option<u64>,
    /// The flow of the test itself, and what ended another one.
    test: Option<Flow>,
    failure: Option<Box<dyn Any + Send>>,
}

static CONTEXTS: Mutex<Contexts> = Mutex::new(Contexts {
    table: BTreeMap::new(),
    next: 1,
    flows: BTreeSet::new(),
    ends: None,
    test: None,
    failure: None,
});

impl Contexts {
    fn add(&mut self, context: Context) -> u64 {
        let number = self.next;
        self.next += 1;
        self.table.insert(number, context);
        number
    }
}

/// What unwinds the stack of a thread that ends with its machine.
struct End;

/// Forgets the contexts of an earlier machine; the caller is the test.
pub(super) fn start() {
    flow::start();
    let mut contexts = locked(&CONTEXTS);
    contexts.table.clear();
    contexts.flows.clear();
    (contexts.ends, contexts.failure) = (None, None);
    contexts.test = Some(Flow::current());
}

/// Stores what the caller can be continued by in `*save`, then continues the thread of `load`. Returns when another thread switches
/// back.
///
/// # Safety
/// `save` can be written to.
pub unsafe fn switch(save: *mut u64, load: u64) {
    let own = locked(&CONTEXTS).add(Context::Waits(Flow::current()));
    // SAFETY: the caller's.
    unsafe { save.write(own) };
    resume(load);
    loop {
        {
            let mut contexts = locked(&CONTEXTS);
            if let Some(Context::Runs(number)) = contexts.table.get(&own) {
                processor::set_number(Some(*number));
                contexts.table.remove(&own);
                return;
            }
        }
        end_if_stopped();
        flow::wait();
    }
}

/// As [`switch`], for a thread that is never continued: its flow ends.
///
/// # Safety
/// None.
pub unsafe fn switch_for_good(_save: *mut u64, load: u64) -> ! {
    resume(load);
    // What is dropped now, or goes on because the end was caught, runs beside the thread that has the processor.
    processor::set_number(None);
    resume_unwind(Box::new(End))
}

/// Makes a context that begins at `entry`.
///
/// # Safety
/// None: there is no stack to lay out.
pub unsafe fn prepare_stack(_top: u64, entry: extern "C-unwind" fn() -> !) -> u64 {
    locked(&CONTEXTS).add(Context::New(entry))
}

/// Gives the thread of context `number` its turn on this processor.
fn resume(number: u64) {
    let processor = processor::number().expect("a thread that switches runs on a processor");
    let mut contexts = locked(&CONTEXTS);
    let context = contexts.table.insert(number, Context::Runs(processor));
    match context {
        Some(Context::New(entry)) => {
            contexts.table.remove(&number);
            drop(contexts);
            begin(processor, move || entry());
        }
        Some(Context::Waits(flow)) => {
            drop(contexts);
            flow.wake();
        }
        Some(Context::Runs(_)) | None => unreachable!("context {number} does not wait"),
    }
}

/// Begins a flow that runs `run` on `processor`. A panic there ends the test.
pub(super) fn begin(processor: usize, run: impl FnOnce() + Send + 'static) {
    let own = {
        let mut contexts = locked(&CONTEXTS);
        contexts.next += 1;
        let own = contexts.next;
        contexts.flows.insert(own);
        own
    };
    Flow::begin(own, move || {
        processor::set_number(Some(processor));
        let ended = catch_unwind(AssertUnwindSafe(run));
        let mut contexts = locked(&CONTEXTS);
        contexts.flows.remove(&own);
        let Err(failure) = ended else { return };
        if failure.is::<End>() {
            return;
        }
        if flow::is_exploring() {
            drop(contexts);
            resume_unwind(failure);
        }
        contexts.failure = Some(failure);
        let test = contexts.test.clone();
        drop(contexts);
        if let Some(test) = test {
            test.wake();
        }
    });
}

/// Ends a flow that has waited, if it is its turn to end; ends the test, if it has waited and another thread panicked.
pub(super) fn end_if_stopped() {
    let mut contexts = locked(&CONTEXTS);
    if contexts.ends == Some(Flow::current().number()) {
        drop(contexts);
        resume_unwind(Box::new(End));
    }
    if Flow::current().number() == 0
        && let Some(failure) = contexts.failure.take()
    {
        drop(contexts);
        resume_unwind(failure);
    }
}

/// Ends all threads but the caller, of which these are idle, one after the other: what is on their stacks is dropped, as far as it is theirs.
pub(super) fn stop_all(idle: Vec<Flow>) {
    let waiting = std::mem::take(&mut locked(&CONTEXTS).table).into_values().filter_map(|context| match context {
        Context::Waits(flow) => Some(flow),
        Context::New(_) | Context::Runs(_) => None,
    });
    // The idle ones first: they would run what the others wake as they end.
    for flow in idle.into_iter().chain(waiting) {
        locked(&CONTEXTS).ends = Some(flow.number());
        while locked(&CONTEXTS).flows.contains(&flow.number()) {
            flow.wake();
            flow::turn(true);
            if !flow::is_exploring() {
                std::thread::yield_now();
            }
        }
    }
}
