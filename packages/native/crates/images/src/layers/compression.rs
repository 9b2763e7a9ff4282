//! Layers as they are uncompressed while they stream.

use crate::documents::Compression;
use std::io::{self, BufReader, Read};

/// The content of `reader`, uncompressed.
///
/// # Errors
/// If no decoder can be made.
pub fn decompressed<'a>(
    compression: Compression,
    reader: impl Read + 'a,
) -> io::Result<Box<dyn Read + 'a>> {
    let buffered = BufReader::with_capacity(128 << 10, reader);
    Ok(match compression {
        Compression::None => Box::new(buffered),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered)?;
            // 128 MiB, the most that the specification of zstd has decoders accept unasked.
            decoder.window_log_max(27)?;
            Box::new(decoder)
        }
    })
}
