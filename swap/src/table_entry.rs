//! One entry of a swap table: everything that is known about one slot, in 64 bits.
//!
//! | bits | meaning |
//! |---|---|
//! | 63–60 | count of PTEs that hold the slot, 0 to 14; 15: see the cluster's extension |
//! | 59 | the page is all zero and was never written |
//! | 58–51 | who pays for the slot, if a shadow or a folio is in it |
//! | 58–0 | what is in the slot, by its lowest set bit |
//!
//! | lowest bits | state | payload |
//! |---|---|---|
//! | `0000` | free | |
//! | `1` | shadow: allocated, in no frame | 50 bits left by eviction, 0 for none |
//! | `10` | folio: in the swap cache | number, of 49 bits, of the folio's first frame; large folios have it in each of their slots |
//! | `100` | owned by a [`Slots`](crate::Slots) value, not in the cache | 56 bits of the owner's |
//! | `1000` | bad: the header, a bad page, or beyond the area's end | |
//!
//! Table entries change only under their cluster's lock; any task may read them.

/// An entry of the table. Anything can be read as one: what those see who read a table from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableEntry(pub u64);

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Nothing: it is not in use.
    Free,
    /// A page that is in no frame, with what its eviction left.
    Shadow(u64),
    /// A page that is in the swap cache, with the number of its folio's first frame.
    Folio(u64),
    /// What its owner keeps there, with bits of the owner's.
    Owned(u64),
    /// Nothing, ever.
    Bad,
}

/// The greatest count that the table entry itself holds.
pub(crate) const INLINE_COUNT_MAX: u8 = 14;
/// In the place of the count: the cluster's extension holds it.
pub(crate) const COUNT_EXTENDED: u8 = 15;

/// How many bits an owner has.
pub(crate) const OWNED_BITS: u32 = 56;

/// How many bits a shadow has.
pub const SHADOW_BITS: u32 = PAYER_SHIFT - 1;

/// The greatest number of who pays for slots ([`Machine::charge_slots`](crate::Machine::charge_slots)).
pub const PAYER_MAX: u8 = u8::MAX;

const COUNT_SHIFT: u32 = 60;
const ZERO: u64 = 1 << 59;
const STATE_MASK: u64 = ZERO - 1;
const PAYER_SHIFT: u32 = 51;
const PAYER_MASK: u64 = (PAYER_MAX as u64) << PAYER_SHIFT;
/// What a shadow or a folio has of the table entry.
const PAID_MASK: u64 = (1 << PAYER_SHIFT) - 1;

const _: () = assert!(PAID_MASK | PAYER_MASK == STATE_MASK);

impl SlotState {
    /// The table entry of an unused or newly allocated slot: count 0, not zero.
    #[inline]
    pub(crate) const fn table_entry(self) -> TableEntry {
        TableEntry(match self {
            Self::Free => 0,
            Self::Shadow(shadow) => (shadow << 1 | 0b1) & PAID_MASK,
            Self::Folio(number) => (number << 2 | 0b10) & PAID_MASK,
            Self::Owned(payload) => (payload << 3 | 0b100) & STATE_MASK,
            Self::Bad => 0b1000,
        })
    }
}

impl TableEntry {
    /// What is in the slot.
    #[inline]
    pub const fn state(self) -> SlotState {
        let payload = self.0 & STATE_MASK;
        match payload & 0b1111 {
            0b0000 => SlotState::Free,
            0b1000 => SlotState::Bad,
            bits if bits & 0b1 != 0 => SlotState::Shadow((payload & PAID_MASK) >> 1),
            bits if bits & 0b10 != 0 => SlotState::Folio((payload & PAID_MASK) >> 2),
            _ => SlotState::Owned(payload >> 3),
        }
    }

    /// The folio's number, for a slot in the cache.
    #[inline]
    pub(crate) const fn folio(self) -> Option<u64> {
        if self.0 & 0b11 == 0b10 { Some((self.0 & PAID_MASK) >> 2) } else { None }
    }

    #[inline]
    pub(crate) const fn is_free(self) -> bool {
        matches!(self.state(), SlotState::Free)
    }

    /// How many PTEs hold the slot; 15 for more than fit here.
    #[inline]
    pub const fn count(self) -> u8 {
        (self.0 >> COUNT_SHIFT) as u8
    }

    /// Whether the page is all zero, and was never written.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 & ZERO != 0
    }

    /// Whether the slot is in use, and its page in no frame nor on its way into one.
    #[inline]
    pub(crate) const fn is_out(self) -> bool {
        matches!(self.state(), SlotState::Shadow(_))
    }

    /// The same count and zero flag with something else in the slot, for which the same pays.
    #[inline]
    pub(crate) const fn with_state(self, state: SlotState) -> Self {
        let kept = if matches!(state, SlotState::Shadow(_) | SlotState::Folio(_)) && self.is_paid() {
            PAID_MASK
        } else {
            STATE_MASK
        };
        Self(self.0 & !kept | state.table_entry().0)
    }

    /// Whether something is in the slot that is paid for.
    const fn is_paid(self) -> bool {
        self.0 & 0b11 != 0
    }

    /// Who pays for the slot; 0 if it is not paid for.
    #[inline]
    pub const fn payer(self) -> u8 {
        if self.is_paid() { ((self.0 & PAYER_MASK) >> PAYER_SHIFT) as u8 } else { 0 }
    }

    /// The table entry of a shadow or a folio that another pays for.
    #[inline]
    pub(crate) const fn with_payer(self, payer: u8) -> Self {
        Self(self.0 & !PAYER_MASK | (payer as u64) << PAYER_SHIFT & PAYER_MASK)
    }

    #[inline]
    pub(crate) const fn with_count(self, count: u8) -> Self {
        Self(self.0 << 4 >> 4 | (count as u64) << COUNT_SHIFT)
    }

    #[inline]
    pub(crate) const fn with_zero(self, zero: bool) -> Self {
        Self(if zero { self.0 | ZERO } else { self.0 & !ZERO })
    }
}

#[cfg(test)]
mod tests {
    use super::{PAYER_MAX, SHADOW_BITS, SlotState, TableEntry};

    #[test]
    fn every_kind_keeps_its_payload_beside_count_and_zero_flag() {
        let kinds = [
            SlotState::Free,
            SlotState::Shadow(0),
            SlotState::Shadow((1 << SHADOW_BITS) - 1),
            SlotState::Folio(0),
            SlotState::Folio((1 << 49) - 1),
            SlotState::Owned(0),
            SlotState::Owned((1 << 56) - 1),
            SlotState::Bad,
        ];
        for kind in kinds {
            for count in 0..16 {
                for zero in [false, true] {
                    let table_entry = TableEntry(0).with_count(count).with_zero(zero).with_state(kind);
                    assert_eq!((table_entry.state(), table_entry.count(), table_entry.is_zero()), (kind, count, zero));
                    assert_eq!(table_entry.is_free(), kind == SlotState::Free);
                    assert_eq!(table_entry.folio().is_some(), matches!(kind, SlotState::Folio(_)));
                    if matches!(kind, SlotState::Shadow(_) | SlotState::Folio(_)) {
                        let paid = table_entry.with_payer(PAYER_MAX).with_payer(41);
                        let unpaid = (paid.state(), paid.count(), paid.is_zero());
                        assert_eq!((paid.payer(), unpaid), (41, (kind, count, zero)));
                        assert_eq!(paid.with_state(SlotState::Shadow(5)).payer(), 41);
                        assert_eq!(paid.with_state(SlotState::Folio(5)).with_count(1).folio(), Some(5));
                    } else {
                        assert_eq!((table_entry.payer(), table_entry.with_state(SlotState::Folio(5)).payer()), (0, 0));
                    }
                    let other = table_entry.with_state(SlotState::Folio(77)).with_count(3).with_zero(!zero);
                    assert_eq!((other.folio(), other.count(), other.is_zero()), (Some(77), 3, !zero));
                }
            }
        }
    }
}
