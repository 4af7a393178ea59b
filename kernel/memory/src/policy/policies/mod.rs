//! The policies, and the table from which one is chosen.

mod clock;
mod clock_pro;
mod fifo;
mod mglru;
mod reuse;
mod s3_fifo;
mod two_list;

use super::decide::Policy;

/// The table of policies: the name by which one is chosen, and its type.
macro_rules! policies {
    ($($name:literal: $module:ident::$type:ident,)*) => {
        /// The names of all policies.
        pub const NAMES: &[&str] = &[$($name),*];

        /// The same for a message.
        pub const EXPECTED: &str = concat!("a policy:", $(" ", $name),*);

        /// A policy that is chosen when it is made.
        #[derive(Debug)]
        pub(super) enum Chosen {
            $($type($module::$type),)*
        }

        impl Chosen {
            /// The policy of that name, and the name.
            pub(super) fn named(name: &str) -> Option<(&'static str, Self)> {
                match name {
                    $($name => Some(($name, Self::$type($module::$type::new()))),)*
                    _ => None,
                }
            }

            /// [`DEFAULT`].
            pub(super) const fn of_default() -> Self {
                Self::Reuse(reuse::Reuse::new())
            }

            pub(super) fn policy(&mut self) -> &mut dyn Policy {
                match self {
                    $(Self::$type(policy) => policy,)*
                }
            }
        }
    };
}

policies! {
    "fifo": fifo::Fifo,
    "clock": clock::Clock,
    "two-list": two_list::TwoList,
    "mglru": mglru::Mglru,
    "clock-pro": clock_pro::ClockPro,
    "s3-fifo": s3_fifo::S3Fifo,
    "reuse": reuse::Reuse,
}

/// The policy that decides unless another is chosen: the one that wins on the evidence in `docs/policies.md`.
pub const DEFAULT: &str = "reuse";
