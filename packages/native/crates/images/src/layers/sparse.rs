//! The places of the data in a sparse file.

use crate::tree::Segment;

/// A map of `numbers`, offset and length in turns, of a file of `size` bytes of which `stored` are
/// in the archive. Empty segments, with which writers mark the end, are left out.
pub(super) fn segments(
    numbers: &[u64],
    size: u64,
    stored: u64,
) -> Result<Vec<Segment>, &'static str> {
    if !numbers.len().is_multiple_of(2) {
        return Err("a map of holes in pairs of numbers");
    }
    let mut segments = Vec::new();
    let (mut end, mut total) = (0_u64, 0_u64);
    for pair in numbers.chunks_exact(2) {
        let [offset, length] = [pair[0], pair[1]];
        let next = offset.checked_add(length).ok_or("a segment within its file")?;
        if offset < end {
            return Err("segments in the order of their places");
        }
        if next > size {
            return Err("a segment within its file");
        }
        (end, total) = (next, total + length);
        if length > 0 {
            segments.push(Segment { offset, length });
        }
    }
    if total != stored {
        return Err("a map of holes for as many bytes as are stored");
    }
    Ok(segments)
}
