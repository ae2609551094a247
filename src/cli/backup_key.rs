//! `cx-engine backup-key`: a pair of keys for off-site backups.

use crate::cli::output::{errln, out};
use crate::offsite::NewKey;
use crate::values::Timestamp;

/// Prints the file with the secret key on stdout. The public key is on stderr too, for a person who writes the file.
pub fn run(now: Timestamp) {
    let key = NewKey::generate();
    out!("{}", key.file(now));
    errln!("Public key: {}", key.public());
}
