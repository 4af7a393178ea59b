//! What must hold for any bytes from outside. The normal tests feed these with damaged objects; `fuzz/` feeds them with what
//! a fuzzer finds.

use quire_compressed::store::{Decoder, Encoding};

/// Bytes are a page in an encoding or they are not; the same bytes are the same page, whatever was there before.
pub fn object(decoder: &mut Decoder, contents: &[u8]) {
    for encoding in Encoding::ALL {
        let (mut one, mut other) = ([0x11; 4096], [0xee; 4096]);
        let is_page = decoder.decompress(encoding, contents, &mut one).is_some();
        assert_eq!(decoder.decompress(encoding, contents, &mut other).is_some(), is_page);
        assert!(!is_page || one == other, "{encoding:?}: bytes of the old page are taken for the new one");
    }
}
