//! Frames as a `HostInput` event holds them: each with its length, u16 little-endian, less the bytes
//! of an Ethernet header, before it.

use super::{ETHERNET_HEADER_BYTES, MAX_FRAME_BYTES};

/// Bytes are not frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "network: expected whole frames of {ETHERNET_HEADER_BYTES} to {MAX_FRAME_BYTES} bytes, each \
     with its length before it, found {found}"
)]
pub struct FramesInvalid {
    /// The form of the bytes.
    pub found: String,
}

/// Appends a frame to those of an event. A frame of no such size is left out; whether it was there.
pub fn append_frame(frames: &mut Vec<u8>, frame: &[u8]) -> bool {
    let packet_bytes = frame.len().checked_sub(ETHERNET_HEADER_BYTES);
    let Some(Ok(packet_bytes)) = packet_bytes.map(u16::try_from) else { return false };
    frames.extend(packet_bytes.to_le_bytes());
    frames.extend(frame);
    true
}

/// The frames of an event.
///
/// # Errors
/// [`FramesInvalid`] if they are not whole, or none.
///
/// ```
/// use stillpoint_vmm::network::{append_frame, frames_of};
/// let mut recorded = Vec::new();
/// assert!(append_frame(&mut recorded, &[7; 60]));
/// assert_eq!(frames_of(&recorded)?, [[7; 60]]);
/// # Ok::<(), stillpoint_vmm::network::FramesInvalid>(())
/// ```
pub fn frames_of(mut bytes: &[u8]) -> Result<Vec<&[u8]>, FramesInvalid> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let invalid = |bytes: &[u8]| FramesInvalid {
            found: format!("{} bytes behind {} frames", bytes.len(), frames.len()),
        };
        let Some((length, rest)) = bytes.split_first_chunk() else { return Err(invalid(bytes)) };
        let length = usize::from(u16::from_le_bytes(*length)) + ETHERNET_HEADER_BYTES;
        let Some((frame, rest)) = rest.split_at_checked(length) else { return Err(invalid(rest)) };
        frames.push(frame);
        bytes = rest;
    }
    if frames.is_empty() {
        return Err(FramesInvalid { found: "none".to_owned() });
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_are_read_as_they_were_written(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 14..200), 1..9),
        ) {
            let mut bytes = Vec::new();
            for frame in &frames {
                prop_assert!(append_frame(&mut bytes, frame));
            }
            prop_assert_eq!(frames_of(&bytes).expect("frames"), frames);
        }

        #[test]
        fn any_bytes_are_frames_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(frames) = frames_of(&bytes) {
                let mut again = Vec::new();
                frames.iter().for_each(|frame| prop_assert_ok(append_frame(&mut again, frame)));
                prop_assert_eq!(again, bytes);
            }
        }
    }

    fn prop_assert_ok(appended: bool) {
        assert!(appended, "a frame that was read can be written");
    }

    #[test]
    fn no_frame_is_too_short_or_too_long() {
        let mut bytes = Vec::new();
        assert!(!append_frame(&mut bytes, &[0; 13]));
        assert!(!append_frame(&mut bytes, &vec![0; MAX_FRAME_BYTES + 1]));
        assert!(append_frame(&mut bytes, &vec![0; MAX_FRAME_BYTES]));
        assert_eq!(frames_of(&[]).map_err(|error| error.found), Err("none".to_owned()));
    }
}
