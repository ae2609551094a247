//! The TLS certificate of the settings: when it expires.

use std::fs;

use anyhow::Context;
use x509_parser::pem::Pem;

use crate::config::TlsFiles;
use crate::values::Timestamp;

/// Seconds before its end from which a certificate should be renewed: two weeks.
const TIME_TO_RENEW: i64 = 14 * 86_400;

/// The validity of a certificate (RFC 5280, section 4.1.2.5).
#[derive(Debug, Clone, Copy)]
pub struct Validity {
    pub begins_at: Timestamp,
    pub expires_at: Timestamp,
}

/// When the certificate of the settings ends. `None` without one, or if its file cannot be read.
pub fn expires_at(files: Option<&TlsFiles>) -> Option<Timestamp> {
    Some(Validity::read(files?).ok()?.expires_at)
}

impl Validity {
    /// Reads the first certificate of the file: the server's own, before those of its issuers.
    pub fn read(files: &TlsFiles) -> anyhow::Result<Self> {
        let path = &files.certificate;
        let text = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Self::of_pem(&text).with_context(|| format!("{} has no certificate in PEM", path.display()))
    }

    /// Reads the first certificate of a text in PEM.
    pub fn of_pem(text: &[u8]) -> anyhow::Result<Self> {
        let block = Pem::iter_from_buffer(text).next().context("it is empty")??;
        let certificate = block.parse_x509()?;
        let validity = certificate.validity();
        let moment = |time: &x509_parser::time::ASN1Time| Timestamp::from_seconds(time.timestamp());
        Ok(Self { begins_at: moment(&validity.not_before), expires_at: moment(&validity.not_after) })
    }

    /// Whether the certificate ends within two weeks. One for less than six weeks: within the last third of its time.
    pub fn is_ending(&self, now: Timestamp) -> bool {
        let all = self.expires_at.seconds() - self.begins_at.seconds();
        self.expires_at.seconds() - now.seconds() < TIME_TO_RENEW.min(all / 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_renewed_two_weeks_before_its_end_and_a_short_one_in_its_last_third() {
        let day = |days: i64| Timestamp::from_seconds(1_800_000_000 + days * 86_400);
        let is_ending = |days: i64, now: i64| Validity { begins_at: day(0), expires_at: day(days) }.is_ending(day(now));
        for (days, now, expected) in
            [(90, 0, false), (90, 76, false), (90, 77, true), (90, 91, true), (6, 4, false), (6, 5, true)]
        {
            assert_eq!(is_ending(days, now), expected, "{days} days, day {now}");
        }
    }

    #[test]
    fn the_first_certificate_of_the_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { certificate: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
        assert!(Validity::read(&files).unwrap_err().to_string().ends_with("chain.pem cannot be read"));
        for nothing in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            fs::write(&files.certificate, nothing).unwrap();
            assert!(
                Validity::read(&files).unwrap_err().to_string().ends_with("has no certificate in PEM"),
                "{nothing}"
            );
        }
        let until = |year| {
            let mut parameters = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
            parameters.not_after = rcgen::date_time_ymd(year, 5, 17);
            parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
        };
        fs::write(&files.certificate, until(2031) + &until(2041)).unwrap();
        assert_eq!(Validity::read(&files).unwrap().expires_at.to_string(), "2031-05-17T00:00:00Z");
    }
}
