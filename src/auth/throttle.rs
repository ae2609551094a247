//! The throttle: so many failed guesses of one email's secret, or from one address, and no more are looked at for a while.
//!
//! The window slides: each failure counts until it is so old. `governor` would do for requests, but not for this: its
//! GCRA takes from the quota at every check and cannot look without taking, and here failures alone are to count.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};

use parking_lot::{Mutex, MutexGuard};
use quick_cache::unsync::Cache;

use crate::values::Timestamp;

/// Keys whose failures are remembered; one more, and one that is seldom seen is forgotten.
const REMEMBERED: usize = 20_000;

pub struct Throttle {
    /// Failures that are let be; none are counted where it is zero.
    attempts: usize,
    /// Seconds for which a failure counts.
    window: i64,
    /// The times of the last failures of each key, as many as are let be.
    failures: Mutex<Cache<Key, VecDeque<Timestamp>>>,
}

/// What failures are of. Each is counted by itself: whoever has forgotten a password may still ask for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A password was wrong.
    Password,
    /// A mailed code was wrong.
    Code,
    /// A mail was asked for.
    Mail,
    /// An account was made, or could not be.
    Account,
    /// A code of a second factor was wrong.
    SecondFactor,
}

/// Whose failures are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// Folded; of an account or of nobody.
    Email(Purpose, String),
    /// A [`network`]: the rest of an address is anybody's own to choose.
    Address(Purpose, IpAddr),
    /// A token's id.
    Session(Purpose, i64),
    /// An account's id.
    Account(Purpose, i64),
}

/// How many times the usual limit failures of one email are let be, from all addresses together: a stranger who guesses
/// must not shut out its owner.
const FOR_ONE_EMAIL: usize = 20;

/// There have been too many failures; the next guess is looked at in so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled(pub i64);

impl Key {
    pub fn email(purpose: Purpose, email: &str) -> Self {
        Self::Email(purpose, email.to_lowercase())
    }

    pub fn address(purpose: Purpose, address: IpAddr) -> Self {
        Self::Address(purpose, network(address))
    }

    /// How many failures are let be, where `attempts` is the usual limit.
    fn limit(&self, attempts: usize) -> usize {
        match self {
            Self::Email(Purpose::Password | Purpose::Code, _) => attempts * FOR_ONE_EMAIL,
            _ => attempts,
        }
    }
}

/// What is counted as one: an IPv4 address, or the first 64 bits of an IPv6 address.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

impl Throttle {
    pub fn new(attempts: usize, window: i64) -> Self {
        Self { attempts, window, failures: Mutex::new(Cache::new(REMEMBERED)) }
    }

    /// Whether a guess may be looked at. Costs next to nothing, and is to be asked before anything that does.
    ///
    /// A failure that is still to come was counted before the clock was put back: it counts no more.
    ///
    /// Guesses that arrive together are all let through until the first of them has failed: as many more as there are
    /// threads that hash.
    pub fn check(&self, keys: &[Key], now: Timestamp) -> Result<(), Throttled> {
        let failures = self.lock();
        if self.attempts == 0 {
            return Ok(());
        }
        let opens = keys.iter().filter_map(|key| {
            let times = failures.get(key).filter(|times| times.len() >= key.limit(self.attempts))?;
            let first = times.front().filter(|_| times.iter().all(|time| *time <= now))?;
            Some(first.plus(self.window).seconds() - now.seconds())
        });
        match opens.filter(|wait| *wait > 0).max() {
            Some(wait) => Err(Throttled(wait)),
            None => Ok(()),
        }
    }

    /// Counts a failure against each key.
    pub fn count(&self, keys: &[Key], now: Timestamp) {
        if self.attempts == 0 {
            return;
        }
        let mut failures = self.lock();
        for key in keys {
            let mut times = failures.remove(key).map(|(_, times)| times).unwrap_or_default();
            times.retain(|time| *time <= now);
            times.push_back(now);
            if times.len() > key.limit(self.attempts) {
                times.pop_front();
            }
            failures.insert(key.clone(), times);
        }
    }

    /// Forgets the failures of a key.
    pub fn forgive(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Cache<Key, VecDeque<Timestamp>>> {
        self.failures.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + second)
    }

    fn ada() -> [Key; 1] {
        [Key::Account(Purpose::Password, 1)]
    }

    #[test]
    fn strangers_who_guess_at_an_email_need_far_more_guesses_to_shut_its_owner_out() {
        let throttle = Throttle::new(3, 900);
        let email = [Key::email(Purpose::Password, "ada@example.com")];
        for _ in 0..3 * FOR_ONE_EMAIL {
            assert_eq!(throttle.check(&email, at(0)), Ok(()));
            throttle.count(&email, at(0));
        }
        assert_eq!(throttle.check(&email, at(0)), Err(Throttled(900)));
        let mail = [Key::email(Purpose::Mail, "ada@example.com")];
        (0..3).for_each(|_| throttle.count(&mail, at(0)));
        assert_eq!(throttle.check(&mail, at(0)), Err(Throttled(900)), "who is mailed is not mailed on and on");
    }

    #[test]
    fn the_window_slides_over_each_failure() {
        let throttle = Throttle::new(3, 900);
        for second in [0, 100, 200] {
            assert_eq!(throttle.check(&ada(), at(second)), Ok(()));
            throttle.count(&ada(), at(second));
        }
        assert_eq!(throttle.check(&ada(), at(200)), Err(Throttled(700)));
        assert_eq!(throttle.check(&ada(), at(899)), Err(Throttled(1)));
        assert_eq!(throttle.check(&ada(), at(900)), Ok(()));
        throttle.count(&ada(), at(900));
        assert_eq!(throttle.check(&ada(), at(900)), Err(Throttled(100)), "the failure of second 100 still counts");
        assert_eq!(throttle.check(&ada(), at(1000)), Ok(()));
    }

    #[test]
    fn after_the_clock_was_put_back_nobody_waits_until_it_is_that_late_again() {
        let throttle = Throttle::new(2, 900);
        for second in [0, 31_536_000, 31_536_000] {
            throttle.count(&ada(), at(second));
        }
        assert_eq!(throttle.check(&ada(), at(10)), Ok(()));
        throttle.count(&ada(), at(10));
        assert_eq!(throttle.check(&ada(), at(10)), Ok(()), "the first failure of this time");
        throttle.count(&ada(), at(20));
        assert_eq!(throttle.check(&ada(), at(20)), Err(Throttled(890)));
    }

    #[test]
    fn whichever_key_waits_longest_is_waited_for() {
        let throttle = Throttle::new(1, 900);
        let both = [Key::address(Purpose::Password, "192.0.2.1".parse().unwrap()), Key::Account(Purpose::Password, 1)];
        throttle.count(&both[..1], at(0));
        throttle.count(&both[1..], at(50));
        assert_eq!(throttle.check(&both[..1], at(60)), Err(Throttled(840)));
        assert_eq!(throttle.check(&both, at(60)), Err(Throttled(890)));
        throttle.forgive(&both[1]);
        assert_eq!(throttle.check(&both, at(60)), Err(Throttled(840)));
        assert_eq!(throttle.check(&[Key::Account(Purpose::Password, 2)], at(60)), Ok(()));
    }

    #[test]
    fn what_fails_of_one_kind_does_not_count_for_another() {
        let throttle = Throttle::new(1, 900);
        throttle.count(&ada(), at(0));
        assert_eq!(throttle.check(&[Key::Account(Purpose::Mail, 1)], at(0)), Ok(()));
        assert_eq!(throttle.check(&ada(), at(0)), Err(Throttled(900)));
    }

    #[test]
    fn none_are_counted_where_it_is_off() {
        let throttle = Throttle::new(0, 900);
        for _ in 0..100 {
            throttle.count(&ada(), at(0));
        }
        assert_eq!(throttle.check(&ada(), at(0)), Ok(()));
    }

    #[test]
    fn emails_are_one_in_any_case_and_addresses_in_one_network() {
        assert_eq!(Key::email(Purpose::Password, "Ada@Example.COM"), Key::email(Purpose::Password, "ada@example.com"));
        let address = |text: &str| Key::address(Purpose::Password, text.parse().unwrap());
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            assert_eq!(address(one) == address(other), same, "{one} {other}");
        }
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let throttle = Throttle::new(3, 900);
        for n in 0..3 * REMEMBERED {
            throttle.count(&[Key::email(Purpose::Password, &format!("{n}@example.com"))], at(0));
        }
        assert!(throttle.lock().len() <= REMEMBERED, "{}", throttle.lock().len());
    }
}
