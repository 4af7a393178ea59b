//! One word of a swap table: everything that is known about one slot.
//!
//! | bits | meaning |
//! |---|---|
//! | 63–60 | count of page-table words that hold the slot, 0 to 14; 15: see the cluster's extension |
//! | 59 | the page is all zero and was never written |
//! | 58–53 | who pays for the slot, if a shadow or a folio is in it |
//! | 58–0 | what is in the slot, by its lowest set bit |
//!
//! | lowest bits | kind | payload |
//! |---|---|---|
//! | `0000` | free | |
//! | `1` | shadow: allocated, in no frame | 52 bits left by eviction, 0 for none |
//! | `10` | folio: in the swap cache | number, of 51 bits, of the folio's first frame; large folios have it in each of their slots |
//! | `100` | owned by a [`Slots`](crate::Slots) value, not in the cache | 56 bits of the owner's |
//! | `1000` | bad: the header, a bad page, or beyond the area's end | |
//!
//! Words change only under their cluster's lock; anybody may read them.

/// A word of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

/// What a word says is in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Free,
    Shadow(u64),
    Folio(u64),
    Owned(u64),
    Bad,
}

/// The greatest count that the word itself holds.
pub(crate) const INLINE_COUNT_MAX: u8 = 14;
/// In the place of the count: the cluster's extension holds it.
pub(crate) const COUNT_EXTENDED: u8 = 15;

/// How many bits an owner has.
pub(crate) const OWNED_BITS: u32 = 56;

/// How many bits a shadow has.
pub const SHADOW_BITS: u32 = PAYER_SHIFT - 1;

/// The greatest number of who pays for slots ([`Machine::charge_slots`](crate::Machine::charge_slots)).
pub const PAYER_MAX: u8 = 63;

const COUNT_SHIFT: u32 = 60;
const ZERO: u64 = 1 << 59;
const KIND_MASK: u64 = ZERO - 1;
const PAYER_SHIFT: u32 = 53;
const PAYER_MASK: u64 = (PAYER_MAX as u64) << PAYER_SHIFT;
/// What a shadow or a folio has of the word.
const PAID_MASK: u64 = (1 << PAYER_SHIFT) - 1;

const _: () = assert!(PAID_MASK | PAYER_MASK == KIND_MASK);

impl Kind {
    /// The word of an unused or newly allocated slot: count 0, not zero.
    #[inline]
    pub(crate) const fn word(self) -> Word {
        Word(match self {
            Self::Free => 0,
            Self::Shadow(shadow) => (shadow << 1 | 0b1) & PAID_MASK,
            Self::Folio(number) => (number << 2 | 0b10) & PAID_MASK,
            Self::Owned(payload) => (payload << 3 | 0b100) & KIND_MASK,
            Self::Bad => 0b1000,
        })
    }
}

impl Word {
    #[inline]
    pub(crate) const fn kind(self) -> Kind {
        let payload = self.0 & KIND_MASK;
        match payload & 0b1111 {
            0b0000 => Kind::Free,
            0b1000 => Kind::Bad,
            bits if bits & 0b1 != 0 => Kind::Shadow((payload & PAID_MASK) >> 1),
            bits if bits & 0b10 != 0 => Kind::Folio((payload & PAID_MASK) >> 2),
            _ => Kind::Owned(payload >> 3),
        }
    }

    /// The folio's number, for a slot in the cache.
    #[inline]
    pub(crate) const fn folio(self) -> Option<u64> {
        if self.0 & 0b11 == 0b10 { Some((self.0 & PAID_MASK) >> 2) } else { None }
    }

    #[inline]
    pub(crate) const fn is_free(self) -> bool {
        matches!(self.kind(), Kind::Free)
    }

    #[inline]
    pub(crate) const fn count(self) -> u8 {
        (self.0 >> COUNT_SHIFT) as u8
    }

    #[inline]
    pub(crate) const fn is_zero(self) -> bool {
        self.0 & ZERO != 0
    }

    /// The same count and zero flag with something else in the slot, for which the same pays.
    #[inline]
    pub(crate) const fn with_kind(self, kind: Kind) -> Self {
        let kept =
            if matches!(kind, Kind::Shadow(_) | Kind::Folio(_)) && self.is_paid() { PAID_MASK } else { KIND_MASK };
        Self(self.0 & !kept | kind.word().0)
    }

    /// Whether something is in the slot that is paid for.
    const fn is_paid(self) -> bool {
        self.0 & 0b11 != 0
    }

    /// Who pays for the slot; 0 for nobody.
    #[inline]
    pub(crate) const fn payer(self) -> u8 {
        if self.is_paid() { ((self.0 & PAYER_MASK) >> PAYER_SHIFT) as u8 } else { 0 }
    }

    /// The word of a shadow or a folio that somebody else pays for.
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
    use super::{Kind, PAYER_MAX, SHADOW_BITS, Word};

    #[test]
    fn every_kind_keeps_its_payload_beside_count_and_zero_flag() {
        let kinds = [
            Kind::Free,
            Kind::Shadow(0),
            Kind::Shadow((1 << SHADOW_BITS) - 1),
            Kind::Folio(0),
            Kind::Folio((1 << 51) - 1),
            Kind::Owned(0),
            Kind::Owned((1 << 56) - 1),
            Kind::Bad,
        ];
        for kind in kinds {
            for count in 0..16 {
                for zero in [false, true] {
                    let word = Word(0).with_count(count).with_zero(zero).with_kind(kind);
                    assert_eq!((word.kind(), word.count(), word.is_zero()), (kind, count, zero));
                    assert_eq!(word.is_free(), kind == Kind::Free);
                    assert_eq!(word.folio().is_some(), matches!(kind, Kind::Folio(_)));
                    if matches!(kind, Kind::Shadow(_) | Kind::Folio(_)) {
                        let paid = word.with_payer(PAYER_MAX).with_payer(41);
                        let unpaid = (paid.kind(), paid.count(), paid.is_zero());
                        assert_eq!((paid.payer(), unpaid), (41, (kind, count, zero)));
                        assert_eq!(paid.with_kind(Kind::Shadow(5)).payer(), 41);
                        assert_eq!(paid.with_kind(Kind::Folio(5)).with_count(1).folio(), Some(5));
                    } else {
                        assert_eq!((word.payer(), word.with_kind(Kind::Folio(5)).payer()), (0, 0));
                    }
                    let other = word.with_kind(Kind::Folio(77)).with_count(3).with_zero(!zero);
                    assert_eq!((other.folio(), other.count(), other.is_zero()), (Some(77), 3, !zero));
                }
            }
        }
    }
}
