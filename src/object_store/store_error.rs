//! Why a request to the object store failed.

use std::fmt::Display;
use std::path::Path;

use super::s3_client::HttpError;
use super::store_settings::SettingNames;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The object exists, or has another tag. Nothing was changed.
    #[error("the object exists already or was changed by another node")]
    Precondition,
    /// The store was not reached, or did not say what it did. If the request was a change, it may have been made.
    /// Repeat the request.
    #[error("the object store gave no final answer: {0}")]
    Unknown(String),
    /// The store rejected the request, and would reject it again. The message says what to correct. The status is 0 if
    /// the request was not sent.
    #[error("the object store rejected the request ({code}): {message}")]
    Refused { status: u16, code: String, message: String },
}

/// The parts of an S3 error response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorResponse {
    pub status: u16,
    pub code: String,
    pub message: String,
    /// The region of the bucket, if the store names it.
    pub region: Option<String>,
}

impl StoreError {
    pub(super) fn refused(status: u16, code: &str, message: &str) -> Self {
        Self::Refused { status, code: code.to_owned(), message: message.to_owned() }
    }

    /// A file of this machine cannot be read or written.
    pub(super) fn local_file(path: &Path, error: &dyn Display) -> Self {
        Self::refused(0, "LocalFile", &format!("{}: {error}", path.display()))
    }

    pub(super) fn too_large(key: &str, limit: u64) -> Self {
        Self::refused(0, "TooLarge", &format!("{key} is larger than {} MiB", limit >> 20))
    }

    /// The error of a request without a response.
    pub(super) fn without_response(error: &HttpError, host: &str, url_setting: &str) -> Self {
        match error {
            HttpError::Certificate(why) => {
                let message = format!("{host}: {why}. Certificates are checked against the roots of this system");
                Self::refused(0, "Certificate", &message)
            }
            HttpError::PublicAddress => {
                let message = format!(
                    "{host} has a public address, and http:// is only allowed to loopback and private addresses. Use \
                     https:// in {url_setting}"
                );
                Self::refused(0, "PlainHttp", &message)
            }
            HttpError::Other(why) => Self::Unknown(format!("{host}: {why}")),
        }
    }

    /// The error of a response that is no success. `clocks` describes the two clocks if they differ.
    pub(super) fn of_response(
        response: ErrorResponse,
        bucket: &str,
        settings: SettingNames,
        clocks: Option<String>,
    ) -> Self {
        let SettingNames { url, region: region_setting, key_file, secret_file } = settings;
        let ErrorResponse { status, code, message, region } = response;
        let named = if code.is_empty() { format!("HTTP {status}") } else { code.clone() };
        let is_temporary = matches!(code.as_str(), "RequestTimeout" | "OperationAborted" | "SlowDown");
        match status {
            412 => return Self::Precondition,
            // The store does not implement what was asked for, so that a repetition would not help.
            501 => {}
            408 | 409 | 429 | 500.. => return Self::Unknown(with_message(&named, &message)),
            _ if is_temporary => return Self::Unknown(with_message(&named, &message)),
            _ => {}
        }
        let advice = match code.as_str() {
            "RequestTimeTooSkewed" => clocks.unwrap_or_else(|| "the clock of this machine is wrong".into()),
            _ if status == 403 && clocks.is_some() => clocks.unwrap_or_default(),
            "InvalidAccessKeyId" => format!("the store does not know the access key in {key_file}"),
            "SignatureDoesNotMatch" => format!(
                "the secret key in {secret_file} does not belong to the access key in {key_file}, or a proxy changed \
                 the request"
            ),
            "NoSuchBucket" => format!("there is no bucket {bucket:?}: create it, or correct {url}"),
            "AccessDenied" | "AllAccessDisabled" | "Forbidden" => format!(
                "the key may not do this in the bucket {bucket:?}: allow it to list the bucket, and to read, write and \
                 delete objects"
            ),
            "NotImplemented" => "the store does not support conditional requests".into(),
            _ if region.is_some() || (300..400).contains(&status) => match region {
                Some(region) => {
                    format!("the bucket {bucket:?} is in another region: set {region_setting} = {region:?}")
                }
                None => format!("the bucket {bucket:?} is at another address: correct {url} or {region_setting}"),
            },
            _ => String::new(),
        };
        let message = match (advice.is_empty(), message.is_empty()) {
            (true, _) => message,
            (false, true) => advice,
            (false, false) => format!("{advice} (the store says: {message})"),
        };
        Self::Refused { status, code: named, message }
    }
}

fn with_message(named: &str, message: &str) -> String {
    if message.is_empty() { named.to_owned() } else { format!("{named}: {message}") }
}

impl ErrorResponse {
    /// Parses the XML of an S3 error. A proxy may send something else, of which only the status is kept.
    pub fn parse(status: u16, body: &str, region: Option<String>) -> Self {
        let element = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            rest.split_once(&format!("</{name}>")).map(|(text, _)| unescaped(text))
        };
        Self {
            status,
            code: element("Code").unwrap_or_default(),
            message: element("Message").unwrap_or_default().trim_end_matches('.').to_owned(),
            region: region.or_else(|| element("Region")).filter(|region| !region.is_empty()),
        }
    }
}

/// The text of an XML element, on one line and of moderate length.
fn unescaped(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    let plain = plain.replace("&apos;", "'").replace("&amp;", "&");
    plain.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}
