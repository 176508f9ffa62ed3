//! Variable-length numbers: seven bits in each byte, the low ones first.
//!
//! These twenty lines stay here rather than in a crate, because the budget of the metadata needs the number of bytes that a
//! number takes at most.

/// The greatest size of a number, in bytes.
pub(super) const LONGEST: usize = 10;

pub(super) fn write(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Decodes a number, and removes it from the front. `None` if it is incomplete or too large.
pub(super) fn read(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Returns the greatest size of `n` numbers with this sum, in bytes.
pub(super) fn most_bytes(n: u64, sum: u64) -> u64 {
    // A number of k + 1 bytes is at least 2^(7k), so that only so many of them fit into the sum.
    let longer = (1..LONGEST as u32).map(|k| n.min(sum >> (7 * k)));
    n + longer.sum::<u64>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(numbers: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        numbers.iter().for_each(|number| write(*number, &mut bytes));
        bytes
    }

    #[test]
    fn refuses_a_number_over_64_bits_and_one_that_does_not_end() {
        assert_eq!(read(&mut [0xff; 11].as_slice()), None);
        assert_eq!(read(&mut [0xff; 3].as_slice()), None);
        let mut too_large = [0xff; 10];
        too_large[9] = 0x02;
        assert_eq!(read(&mut too_large.as_slice()), None);
        too_large[9] = 0x01;
        assert_eq!(read(&mut too_large.as_slice()), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn gives_back_what_was_written(shift in 0..64_u32, number: u64) {
            let bytes = bytes_of(&[number >> shift]);
            prop_assert!(bytes.len() <= LONGEST);
            let mut rest = bytes.as_slice();
            prop_assert_eq!((read(&mut rest), rest.len()), (Some(number >> shift), 0));
        }

        #[test]
        fn never_takes_more_than_the_most_bytes(numbers in prop::collection::vec((8..64_u32, any::<u64>()), 0..50)) {
            let numbers: Vec<u64> = numbers.into_iter().map(|(shift, number)| number >> shift).collect();
            let bytes = bytes_of(&numbers).len() as u64;
            prop_assert!(bytes <= most_bytes(numbers.len() as u64, numbers.iter().sum()));
        }
    }
}
