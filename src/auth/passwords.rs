//! Password hashes: argon2id in PHC strings (RFC 9106). The memory for hashing is allocated once.

use anyhow::{Context, anyhow};
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use parking_lot::Mutex;
use unicode_normalization::UnicodeNormalization;

use crate::values::prepare;

/// The cost of one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

pub struct Passwords {
    params: Params,
    /// The hash to compare with for an unknown account, so that it takes the same time as a known one.
    nobody: String,
    /// Blocks that no hash is using. There are as many as the largest number of concurrent hashes so far.
    idle: Mutex<Vec<Vec<Block>>>,
}

/// The result of a password check.
#[derive(Debug, PartialEq, Eq)]
pub enum Verified {
    Yes,
    /// The password is right, but its stored hash has another cost than today's, or another Unicode form. Store this
    /// hash instead.
    Rehash(String),
    No,
}

impl Passwords {
    pub fn new(cost: PasswordCost) -> anyhow::Result<Self> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None)
            .map_err(|error| anyhow!("the cost of a password hash is invalid: {error}"))?;
        let output = Output::new(&[0; Params::DEFAULT_OUTPUT_LEN]).map_err(|error| anyhow!("{error}"))?;
        let nobody = stored(&params, Salt::generate(), output)?;
        Ok(Self { params, nobody, idle: Mutex::default() })
    }

    /// Hashes a password for storage.
    pub fn hash(&self, password: &str) -> anyhow::Result<String> {
        let salt = Salt::generate();
        let output = self.derive(password, salt.as_ref(), &self.params, Params::DEFAULT_OUTPUT_LEN)?;
        stored(&self.params, salt, output)
    }

    /// A hash that no password has, for an account without one.
    pub fn hash_of_none(&self) -> anyhow::Result<String> {
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        getrandom::fill(&mut output).context("cannot get random bytes")?;
        stored(&self.params, Salt::generate(), Output::new(&output).map_err(|error| anyhow!("{error}"))?)
    }

    /// Compares a password with its stored hash. Without a stored hash it takes the same time and returns `No`.
    ///
    /// Old hashes may be of a password in any Unicode form. So this also tries the password as typed and its decomposed
    /// form, in which a Mac sends it.
    pub fn verify(&self, password: &str, kept: Option<&str>) -> anyhow::Result<Verified> {
        let one_form = prepare(password);
        let verified = self.compare(&one_form, kept)?;
        let mut tried = vec![one_form];
        for other in [password.to_owned(), password.nfd().collect()] {
            if verified == Verified::No && !tried.contains(&other) {
                if self.compare(&other, kept)? != Verified::No {
                    return self.hash(&tried[0]).map(Verified::Rehash);
                }
                tried.push(other);
            }
        }
        Ok(verified)
    }

    fn compare(&self, password: &str, kept: Option<&str>) -> anyhow::Result<Verified> {
        let known = kept.is_some();
        let kept = PasswordHash::new(kept.unwrap_or(&self.nobody)).map_err(|error| anyhow!("{error}"))?;
        let params = Params::try_from(&kept).map_err(|error| anyhow!("{error}"))?;
        let (salt, expected) = kept.salt.zip(kept.hash).context("a stored password has no salt or no hash")?;
        let output = self.derive(password, salt.as_ref(), &params, expected.len())?;
        // `Output` compares in constant time.
        if output != expected || !known {
            return Ok(Verified::No);
        }
        let same_cost = (params.m_cost(), params.t_cost(), params.p_cost())
            == (self.params.m_cost(), self.params.t_cost(), self.params.p_cost());
        if same_cost { Ok(Verified::Yes) } else { self.hash(password).map(Verified::Rehash) }
    }

    fn derive(&self, password: &str, salt: &[u8], params: &Params, length: usize) -> anyhow::Result<Output> {
        let mut blocks = self.idle.lock().pop().unwrap_or_default();
        // Each hash needs 19 MiB. Returning them to the allocator each time made the heap of a busy server grow to
        // hundreds of MiB.
        blocks.resize(params.block_count(), Block::default());
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let mut output = vec![0; length];
        let result = argon.hash_password_into_with_memory(password.as_bytes(), salt, &mut output, &mut blocks[..]);
        self.idle.lock().push(blocks);
        result.map_err(|error| anyhow!("cannot hash a password: {error}"))?;
        Output::new(&output).map_err(|error| anyhow!("{error}"))
    }
}

/// A hash as it is stored.
fn stored(params: &Params, salt: Salt, output: Output) -> anyhow::Result<String> {
    let kept = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(|error| anyhow!("{error}"))?,
        salt: Some(salt),
        hash: Some(output),
    };
    Ok(kept.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Error;
    use crate::tests::{PASSWORD, TestServer};

    const CHEAP: PasswordCost = PasswordCost { memory_kib: 64, passes: 1, lanes: 1 };

    #[test]
    fn only_the_right_password_is_verified() {
        let passwords = Passwords::new(CHEAP).unwrap();
        let kept = passwords.hash("correct horse").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{kept}");
        assert_eq!(passwords.verify("correct horse", Some(&kept)).unwrap(), Verified::Yes);
        assert_eq!(passwords.verify("wrong horse", Some(&kept)).unwrap(), Verified::No);
        assert_eq!(passwords.verify("correct horse", None).unwrap(), Verified::No);
    }

    #[test]
    fn nobody_chooses_what_is_known_of_them_wherever_a_password_is_chosen() {
        let server = TestServer::new();
        let says = ["The password is too easy to guess: it is your name or address, or the name of this site."];
        let register = |email: &str, name: &str, password: &str| {
            server.anonymous().post("/register", json!({"name": name, "email": email, "password": password}))
        };
        register("grace.hopper@navy.example", "Grace", "grace.hopper@navy.example").invalid(&says);
        register("grace.hopper@navy.example", "Grace", "grace.hopper").invalid(&says);
        register("g@navy.example", "Grace Vandermolen", "Vandermolen").invalid(&says);
        register("g@navy.example", "Grace Vandermolen", "localhost1").invalid(&says);
        register("g@navy.example", "Grace Vandermolen", "quite-a-long-one").created();
        let change = json!({"password": "owner@example.com", "current_password": PASSWORD});
        server.central().put("/account", change).invalid(&says);
        server.anonymous().post("/password/forgot", json!({"email": "owner@example.com"})).ok();
        let mail = server.mails().pop().unwrap().text;
        let code = mail.split_once("&code=").unwrap().1.split_whitespace().next().unwrap();
        let reset = |password: &str| {
            let body = json!({"email": "owner@example.com", "code": code, "password": password});
            server.anonymous().post("/password/reset", body)
        };
        reset("owner@example.com").invalid(&says);
        reset("quite-another-one").ok();
    }

    #[test]
    fn a_password_that_was_kept_decomposed_logs_in_and_is_kept_anew() {
        let server = TestServer::new();
        let old = server.instance.passwords.hash("cafe\u{301} noir et the\u{301}").unwrap();
        let kept = |server: &TestServer| {
            let sql = "SELECT password_hash FROM accounts WHERE id = 1";
            server
                .instance
                .central
                .read(move |db| Ok::<_, Error>(db.query_row(sql, [], |row| row.get::<_, String>(0))?))
                .unwrap()
        };
        let first = old.clone();
        let sql = "UPDATE accounts SET password_hash = ?1 WHERE id = 1";
        server.instance.central.write(move |db| Ok::<_, Error>(db.execute(sql, [&first])?)).unwrap();
        let login = |password: &str| {
            server.anonymous().post("/login", json!({"email": "owner@example.com", "password": password}))
        };
        login("cafe noir et the").rejected(401, "invalid_credentials");
        login("caf\u{e9} noir et th\u{e9}").ok();
        assert_ne!(kept(&server), old);
        login("cafe\u{301} noir et the\u{301}").ok();
        login("caf\u{e9} noir et th\u{e9}").ok();
    }

    /// An older version stored the hash of the password as typed, on a Mac or elsewhere, before passwords were
    /// normalized.
    #[test]
    fn a_password_is_the_same_however_it_is_typed_and_was_kept() {
        let passwords = Passwords::new(CHEAP).unwrap();
        let (composed, decomposed) = ("caf\u{e9} noir", "cafe\u{301} noir");
        for kept in [composed, decomposed] {
            let kept = passwords.hash(kept).unwrap();
            for typed in [composed, decomposed] {
                let now = match passwords.verify(typed, Some(&kept)).unwrap() {
                    Verified::Rehash(now) => now,
                    verified => {
                        assert_eq!(verified, Verified::Yes);
                        kept.clone()
                    }
                };
                assert_eq!(passwords.verify(composed, Some(&now)).unwrap(), Verified::Yes);
            }
            assert_eq!(passwords.verify("cafe noir", Some(&kept)).unwrap(), Verified::No);
        }
    }

    #[test]
    fn who_is_unknown_costs_a_hash_too() {
        let passwords = Passwords::new(CHEAP).unwrap();
        passwords.verify("correct horse", None).unwrap();
        let used: Vec<usize> = passwords.idle.lock().iter().map(Vec::len).collect();
        assert_eq!(used, [64], "the memory of one hash, in blocks of a KiB");
    }

    #[test]
    fn a_new_cost_gives_a_new_form_at_the_next_login() {
        let kept = Passwords::new(CHEAP).unwrap().hash("correct horse").unwrap();
        let dearer = Passwords::new(PasswordCost { passes: 2, ..CHEAP }).unwrap();
        let Verified::Rehash(new) = dearer.verify("correct horse", Some(&kept)).unwrap() else {
            panic!("the same cost")
        };
        assert!(new.contains("t=2"));
        assert_eq!(dearer.verify("correct horse", Some(&new)).unwrap(), Verified::Yes);
    }
}
