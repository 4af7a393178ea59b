//! What the tests share: booting a scenario or program and reading what it said, images of swap disks, and the launcher as a program.
//!
//! Everything here panics instead of returning errors: its callers are tests, and a test that cannot do its work has
//! failed. A failure shows the scenario and the whole serial log.
//!
//! | module | subject |
//! |---|---|
//! | [`run`] | one boot of one scenario or program, and what its log says |
//! | [`image`] | images of swap disks, with any header |
//! | [`ext4`] | images with an ext4, made and checked by e2fsprogs |
//! | [`browser`] | a browser without a window |
//! | [`launcher`] | the launcher as a person runs it |

#![forbid(unsafe_code)]
#![expect(clippy::missing_panics_doc, reason = "said above for all")]

pub mod browser;
pub mod ext4;
pub mod image;
pub mod launcher;
pub mod run;

pub use browser::Browser;
pub use image::Image;
pub use run::{Figures, Run};

/// Whether the tests have all the time that they want: what is left out otherwise is much more of what another test shows as well.
pub fn are_long() -> bool {
    std::env::var("QUIRE_TESTS").is_ok_and(|how| how == "long")
}
