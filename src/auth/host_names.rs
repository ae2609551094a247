//! Cached addresses of the host names from which a token may be used. They are resolved at most once a minute, and
//! never while a file is in use.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::{Mutex, MutexGuard};

use crate::values::Timestamp;

/// Seconds for which a response of the resolver is valid. That includes the response that there is no address.
const KEPT_FOR: i64 = 60;

/// Maximum cached names. Beyond that, the cache is cleared.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub struct HostNames(Mutex<HashMap<String, (Vec<IpAddr>, Timestamp)>>);

impl HostNames {
    /// Returns the addresses of a name, or `None` if they are not known at this moment.
    pub fn addresses(&self, name: &str, now: Timestamp) -> Option<Vec<IpAddr>> {
        let known = self.lock();
        let (addresses, asked_at) = known.get(name)?;
        // A response from the future means that the clock was set back.
        (0..KEPT_FOR).contains(&(now.seconds() - asked_at.seconds())).then(|| addresses.clone())
    }

    /// Stores the addresses of a name. An empty list means that the name has none.
    pub fn remember(&self, name: String, addresses: Vec<IpAddr>, now: Timestamp) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(name, (addresses, now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Vec<IpAddr>, Timestamp)>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_a_minute() {
        let (names, at) = (HostNames::default(), Timestamp::from_seconds);
        names.remember("pbx.example.com".into(), vec![[192, 0, 2, 1].into()], at(0));
        names.remember("gone.example.com".into(), Vec::new(), at(0));
        assert_eq!(names.addresses("pbx.example.com", at(59)), Some(vec![[192, 0, 2, 1].into()]));
        assert_eq!(names.addresses("gone.example.com", at(59)), Some(Vec::new()));
        assert_eq!(names.addresses("pbx.example.com", at(60)), None);
        assert_eq!(names.addresses("pbx.example.com", at(-3600)), None);
        assert_eq!(names.addresses("other.example.com", at(0)), None);
    }
}
