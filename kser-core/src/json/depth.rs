use super::scan::plain;

/// The deepest nesting of values. The Python library reads nearly as many levels.
pub(crate) const MAX_DEPTH: usize = 1000;

/// A stack of the open containers, with one bit each: 1 for an object, 0 for a list.
#[derive(Default)]
pub(super) struct Open {
    /// The innermost containers, 64 at most, with the last one in the lowest bit.
    bits: u64,
    /// The outer containers, 64 in each number.
    outer: Vec<u64>,
    depth: usize,
}

impl Open {
    /// Opens a container. Returns `false` at the deepest level.
    #[inline]
    pub(super) fn push(&mut self, object: bool) -> bool {
        if self.depth == MAX_DEPTH {
            return false;
        }
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(object);
        self.depth += 1;
        true
    }

    #[inline]
    pub(super) const fn last(&self) -> Option<bool> {
        match self.depth {
            0 => None,
            _ => Some(self.bits & 1 == 1),
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.bits = self.outer.pop().unwrap_or_default();
        }
    }
}

/// Says whether JSON text has more than `levels` levels.
pub(crate) fn is_deeper(text: &str, levels: usize) -> bool {
    // Each level takes two bytes.
    if text.len() <= 2 * levels {
        return false;
    }
    let (mut depth, mut deepest, mut rest) = (0_usize, 0, text.as_bytes());
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => rest = behind_string(rest),
            _ => {}
        }
    }
    deepest > levels
}

/// Returns the bytes after the string whose opening quote was taken.
fn behind_string(mut rest: &[u8]) -> &[u8] {
    loop {
        rest = &rest[plain(rest)..];
        match rest {
            [b'\\', _, behind @ ..] => rest = behind,
            [_, behind @ ..] => return behind,
            [] => return rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_opened_is_closed_in_turn() {
        let object = |level: usize| level.is_multiple_of(3) || level.is_multiple_of(64);
        let mut open = Open::default();
        for level in 0..MAX_DEPTH {
            assert!(open.push(object(level)));
        }
        assert!(!open.push(true));
        for level in (0..MAX_DEPTH).rev() {
            assert_eq!(open.last(), Some(object(level)), "{level}");
            open.pop();
        }
        assert_eq!(open.last(), None);
    }

    #[test]
    fn brackets_in_strings_are_no_levels() {
        assert!(is_deeper("[[[]]]", 2));
        assert!(!is_deeper("[[[]]]", 3));
        assert!(!is_deeper("[\"[[[\\\"[[\",{\"[[\":1}]", 2));
    }
}
