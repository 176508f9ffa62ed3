use std::collections::VecDeque;

/// Values in a chunk.
const CHUNK: usize = 256;

/// A queue in chunks of [`CHUNK`] values, which grows without moving a value and frees memory while it is emptied.
///
/// A `VecDeque` alone would double under the broker's lock: with a million waiting records it copies all of them at once,
/// and keeps up to twice their memory.
#[derive(Debug)]
pub(super) struct ChunkedQueue<T> {
    chunks: VecDeque<VecDeque<T>>,
    /// An empty chunk for reuse, so that a queue that grows and shrinks does not allocate.
    spare: VecDeque<T>,
}

impl<T> Default for ChunkedQueue<T> {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
            spare: VecDeque::new(),
        }
    }
}

impl<T> ChunkedQueue<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Returns the number of values, up to `most`.
    pub(super) fn len_up_to(&self, most: usize) -> usize {
        let mut len = 0;
        for chunk in &self.chunks {
            len += chunk.len();
            if len >= most {
                return most;
            }
        }
        len
    }

    pub(super) fn push_back(&mut self, value: T) {
        if let Some(last) = self.chunks.back_mut()
            && last.len() < CHUNK
        {
            last.push_back(value);
            return;
        }
        let mut chunk = std::mem::take(&mut self.spare);
        chunk.push_back(value);
        self.chunks.push_back(chunk);
    }

    pub(super) fn push_front(&mut self, value: T) {
        if let Some(first) = self.chunks.front_mut()
            && first.len() < CHUNK
        {
            first.push_front(value);
            return;
        }
        let mut chunk = std::mem::take(&mut self.spare);
        chunk.push_front(value);
        self.chunks.push_front(chunk);
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let first = self.chunks.front_mut()?;
        let value = first.pop_front();
        if first.is_empty()
            && let Some(empty) = self.chunks.pop_front()
        {
            self.spare = empty;
        }
        value
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn does_what_one_long_queue_does(turns in proptest::collection::vec((0..3_u8, 1..600_usize), 1..20)) {
            let (mut queue, mut model) = (ChunkedQueue::default(), VecDeque::new());
            let mut next = 0;
            for (verb, times) in turns {
                for _ in 0..times {
                    next += 1;
                    match verb {
                        0 => {
                            queue.push_back(next);
                            model.push_back(next);
                        }
                        1 => {
                            queue.push_front(next);
                            model.push_front(next);
                        }
                        _ => assert_eq!(queue.pop_front(), model.pop_front()),
                    }
                }
                assert!(queue.iter().eq(&model));
                assert_eq!(queue.is_empty(), model.is_empty());
            }
        }
    }
}
