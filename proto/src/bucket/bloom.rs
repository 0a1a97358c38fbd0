//! Bloom filters: which places a page surely does not have (B. H. Bloom, 1970).

use super::Place;

/// Bits for each place: one in a hundred pages is read in vain.
const BITS: usize = 10;
/// Bits that each place sets: ln 2 times as many as there are for it.
const PROBES: u64 = 7;

/// A filter of these places.
pub(super) fn filter<'a>(places: impl ExactSizeIterator<Item = &'a Place>) -> Vec<u8> {
    let mut bytes = vec![0_u8; (places.len() * BITS).div_ceil(8)];
    for place in places {
        for bit in bits(place, bytes.len()) {
            bytes[bit / 8] |= 1 << (bit % 8);
        }
    }
    bytes
}

/// Whether the place may be among those of the filter. An empty filter says nothing, so it may.
pub(super) fn may_have(filter: &[u8], place: &Place) -> bool {
    filter.is_empty() || bits(place, filter.len()).all(|bit| filter[bit / 8] >> (bit % 8) & 1 == 1)
}

/// The bits of a place in a filter of so many bytes, by double hashing (Kirsch and Mitzenmacher, 2006).
fn bits(place: &Place, bytes: usize) -> impl Iterator<Item = usize> + use<> {
    let hash = blake3::hash(place.as_bytes());
    let half = |at: usize| u64::from_le_bytes(hash.as_bytes()[at..at + 8].try_into().expect("eight bytes"));
    let (first, step, count) = (half(0), half(8) | 1, u64::try_from(bytes * 8).expect("a length fits 64 bits"));
    (0..PROBES).map(move |probe| {
        let bit = first.wrapping_add(step.wrapping_mul(probe)) % count;
        usize::try_from(bit).expect("less than a length")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(range: std::ops::Range<u32>) -> Vec<Place> {
        range.map(|number| Place::object(&number.to_be_bytes())).collect()
    }

    #[test]
    fn what_is_there_is_found_and_little_else() {
        let (inside, outside) = (places(0..1_000), places(1_000..11_000));
        let filter = filter(inside.iter());
        assert!(inside.iter().all(|place| may_have(&filter, place)));
        let wrong = outside.iter().filter(|place| may_have(&filter, place)).count();
        assert!(wrong < 200, "{wrong} of 10,000 are found that are not there");
        assert!(may_have(&[], &outside[0]), "an empty filter says nothing");
    }
}
