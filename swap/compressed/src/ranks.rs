//! The ranks of this crate's spinning locks among the core's.

use quire_swap::Rank;

/// The free numbers of a store's handles and chains.
pub(crate) const NUMBERS: Rank = Rank::Backend1;
/// One size class of a store.
pub(crate) const CLASS: Rank = Rank::Backend2;
/// What a processor compresses and decompresses with.
pub(crate) const WORKSPACE: Rank = Rank::Backend3;
/// A slot of a zram device.
pub(crate) const SLOT: Rank = Rank::Backend4;
/// The settings of a zram device.
pub(crate) const ZRAM: Rank = Rank::Driver1;
/// What zswap reads blocks into.
pub(crate) const ZSWAP: Rank = Rank::Driver1;
/// Which zram devices there are.
pub(crate) const CONTROL: Rank = Rank::Driver2;
