//! A disk that does its requests while others run, in tests that explore schedules.

use std::sync::Arc;

use shuttle::sync::Mutex;
use shuttle::thread;

use crate::{FakeDisk, Memory};

/// A task that does a disk's requests.
pub struct Device {
    stops: Arc<Mutex<bool>>,
    task: thread::JoinHandle<()>,
}

impl Device {
    /// Starts the task.
    pub fn start(memory: &'static Memory, disk: &Arc<FakeDisk>) -> Self {
        let stops = Arc::new(Mutex::new(false));
        let (is_over, disk) = (Arc::clone(&stops), Arc::clone(disk));
        let task = thread::spawn(move || {
            memory.enter();
            while !*is_over.lock().unwrap() {
                disk.run_one();
                thread::yield_now();
            }
        });
        Self { stops, task }
    }

    /// No other task waits for a request any more.
    pub fn stop(self) {
        *self.stops.lock().unwrap() = true;
        self.task.join().unwrap();
    }
}
