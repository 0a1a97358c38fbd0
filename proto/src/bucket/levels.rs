//! Which runs are merged, and when: eight of a level become one of the next.

use std::ops::Range;

use super::BucketHead;

/// Runs of a level that become one of the next.
pub const FAN: usize = 8;

/// The runs of a head to be merged next, by their place in it; `None` while there are few. They stand together, so what
/// they say is newer than all after them, and older than all before.
pub fn due(head: &BucketHead) -> Option<Range<usize>> {
    let mut start = 0;
    while let Some(run) = head.runs.get(start) {
        let length = head.runs[start..].iter().take_while(|other| other.level == run.level).count();
        if length >= FAN {
            return Some(start..start + length);
        }
        start += length;
    }
    None
}
