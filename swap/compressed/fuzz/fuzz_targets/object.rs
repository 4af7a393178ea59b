//! Any bytes as an object that was changed in memory, or on its way from a backing device.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use quire_compressed::store::Decoder;

#[path = "../../tests/core/bytes.rs"]
mod bytes;

#[path = "../../../benches/bare/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "a machine is needed only for its heap")]
mod bare;

thread_local! {
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::with_deflate::<bare::Bare>().expect("there is memory"));
}

fuzz_target!(|input: &[u8]| DECODER.with_borrow_mut(|decoder| bytes::object(decoder, input)));
