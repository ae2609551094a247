//! Checksums in hexadecimal digits.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// Two digits for each byte.
pub fn hexadecimal(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The length and the SHA-256 of a stream.
pub fn sha256_of(mut stream: impl Read) -> io::Result<(u64, String)> {
    let (mut digest, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok((bytes, hexadecimal(digest.finalize()))),
            length => {
                digest.update(&piece[..length]);
                bytes += length as u64;
            }
        }
    }
}
