//! A client of the S3 API: an object store that several machines share.
//!
//! Only conditional requests change data: an object is created if it does not exist, or replaced if it still has the
//! tag that was read. `ObjectStore::probe` checks that a store honours these conditions. The client repeats no
//! request: only its caller knows what an unknown outcome means.

mod probe;
mod s3_client;
#[cfg(test)]
#[path = "../../tests/it/s3_stub.rs"]
pub mod s3_stub;
mod store_error;
mod store_settings;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusty_s3::actions::{ListObjectsV2, ListObjectsV2Response, S3Action};

use crate::durable_fs;
pub use probe::{ProbeError, ProbeStep};
use s3_client::S3Client;
pub use store_error::StoreError;
pub use store_settings::{StorePurpose, StoreSettings, StoreUrl};

/// The largest object that [`ObjectStore::get`] reads into memory, in bytes.
const MAX_IN_MEMORY: u64 = 256 << 20;
/// The largest object that one request may create, in bytes: the limit of the S3 API.
const MAX_OBJECT: u64 = 5 << 30;
/// The largest page of a list, in bytes. A page has at most 1000 objects.
const MAX_LIST_PAGE: u64 = 16 << 20;

/// The folder of a bucket in which an instance keeps its objects.
pub struct ObjectStore {
    client: S3Client,
    /// Empty, or the prefix of `store_url` with a slash at its end.
    prefix: String,
}

/// The tag of one version of an object. The store chooses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

/// An object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub body: Vec<u8>,
    pub tag: ETag,
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    /// In bytes.
    pub size: u64,
}

impl ObjectStore {
    /// Reads the key files and checks the address. Sends no request.
    pub fn open(settings: &StoreSettings) -> anyhow::Result<Self> {
        Ok(Self { client: S3Client::open(settings)?, prefix: settings.url.prefix().to_owned() })
    }

    /// Creates an object that must not exist.
    pub fn create(&self, key: &str, body: &[u8]) -> Result<ETag, StoreError> {
        self.put(key, body, body.len() as u64, ("if-none-match", "*"))
    }

    /// Creates an object that must not exist from a file of up to 5 GiB. The file is streamed.
    pub fn create_from_file(&self, key: &str, path: &Path) -> Result<ETag, StoreError> {
        let opened = File::open(path).and_then(|file| file.metadata().map(|metadata| (file, metadata.len())));
        let (file, length) = opened.map_err(|error| StoreError::local_file(path, &error))?;
        if length > MAX_OBJECT {
            return Err(StoreError::too_large(key, MAX_OBJECT));
        }
        self.put(key, &file, length, ("if-none-match", "*"))
    }

    /// Replaces an object if it still has this tag.
    pub fn replace(&self, key: &str, body: &[u8], tag: &ETag) -> Result<ETag, StoreError> {
        self.put(key, body, body.len() as u64, ("if-match", &tag.0))
    }

    /// Replaces the version that was read, or creates an object that was not there.
    pub fn write(&self, key: &str, body: &[u8], read: Option<&ETag>) -> Result<ETag, StoreError> {
        match read {
            Some(tag) => self.replace(key, body, tag),
            None => self.create(key, body),
        }
    }

    fn put(
        &self,
        key: &str,
        body: impl ureq::AsSendBody,
        length: u64,
        condition: (&str, &str),
    ) -> Result<ETag, StoreError> {
        let key = self.full_key(key)?;
        let mut action = self.client.bucket.put_object(Some(&self.client.credentials), &key);
        action.headers_mut().insert(condition.0, condition.1);
        let mut request = self.client.sign("PUT", &action);
        request.condition = Some(condition);
        let answer = self.client.send(&request, body, Some(length))?;
        match answer.status {
            200..300 => {
                answer.tag.map(ETag).ok_or_else(|| StoreError::refused(200, "NoETag", "The store sent no ETag"))
            }
            // The object that was to be replaced was deleted.
            404 if condition.0 == "if-match" && answer.is_missing_object() => Err(StoreError::Precondition),
            _ => Err(self.client.error(&request, answer)),
        }
    }

    /// Reads an object. Returns `None` if it does not exist.
    pub fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let mut body = Vec::new();
        let tag = self.read(key, None, MAX_IN_MEMORY, &mut |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(tag.map(|tag| Object { body, tag }))
    }

    /// Writes an object to a file, completely or not at all. Replaces an existing file. Returns false if the object does
    /// not exist.
    pub fn get_to_file(&self, key: &str, path: &Path) -> Result<bool, StoreError> {
        let local = |error: io::Error| StoreError::local_file(path, &error);
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".download");
        let unfinished = PathBuf::from(unfinished);
        durable_fs::if_there(fs::remove_file(&unfinished)).map_err(local)?;
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(local)?;
        let read = self.read(key, None, MAX_OBJECT, &mut |piece| file.write_all(piece).map_err(local));
        if let Ok(Some(_)) = read {
            // This also syncs the file.
            durable_fs::rename(&unfinished, path)
                .map_err(|error| StoreError::local_file(path, &format!("{error:#}")))?;
            return Ok(true);
        }
        // The first error says more than one of the clean-up.
        let _ = fs::remove_file(&unfinished);
        read.map(|_| false)
    }

    /// Hands over an object of at most this many bytes, piece by piece, in limited time. Returns false if it does not
    /// exist.
    pub fn read_up_to(
        &self,
        key: &str,
        length: u64,
        write: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        Ok(self.read(key, Some(length), length, write)?.is_some())
    }

    /// Reads an object piece by piece. `length` limits the time. Returns `None` if the object does not exist.
    fn read(
        &self,
        key: &str,
        length: Option<u64>,
        limit: u64,
        write: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<Option<ETag>, StoreError> {
        let full_key = self.full_key(key)?;
        let action = self.client.bucket.get_object(Some(&self.client.credentials), &full_key);
        let request = self.client.sign("GET", &action);
        let mut answer = self.client.send(&request, (), length)?;
        match answer.status {
            200 => {}
            404 if answer.is_missing_object() => return Ok(None),
            _ => return Err(self.client.error(&request, answer)),
        }
        if answer.length.is_some_and(|length| length > limit) {
            return Err(StoreError::too_large(key, limit));
        }
        let length = answer.read_pieces(limit, write)?;
        if length > limit {
            return Err(StoreError::too_large(key, limit));
        }
        if answer.length.is_some_and(|expected| expected != length) {
            return Err(StoreError::Unknown("the connection was closed before the end of the object".into()));
        }
        answer
            .tag
            .map(|tag| Some(ETag(tag)))
            .ok_or_else(|| StoreError::refused(200, "NoETag", "The store sent no ETag"))
    }

    /// All objects whose keys begin with `prefix` and are greater than `after`, in the order of their keys.
    pub fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ListedObject>, StoreError> {
        let mut found = Vec::new();
        self.each_page(prefix, after, None, |page| {
            found.extend(page.contents.into_iter().filter_map(|object| {
                let key = object.key.strip_prefix(&self.prefix)?.to_owned();
                Some(ListedObject { key, size: object.size.unwrap_or(0) })
            }));
        })?;
        // Not every store sorts, or knows `start-after`.
        found.retain(|object| after.is_none_or(|after| object.key.as_str() > after));
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
    }

    /// The names of the folders directly below `prefix`, which is empty or ends with a slash. The names have neither
    /// the prefix nor a slash.
    pub fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let whole = format!("{}{prefix}", self.prefix);
        let mut found = Vec::new();
        self.each_page(prefix, None, Some("/"), |page| {
            let names = page.common_prefixes.iter();
            found.extend(
                names.filter_map(|folder| folder.prefix.strip_prefix(&whole)?.strip_suffix('/').map(str::to_owned)),
            );
        })?;
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn each_page(
        &self,
        prefix: &str,
        after: Option<&str>,
        delimiter: Option<&str>,
        mut take: impl FnMut(ListObjectsV2Response),
    ) -> Result<(), StoreError> {
        let mut next: Option<String> = None;
        loop {
            let mut action = self.client.bucket.list_objects_v2(Some(&self.client.credentials));
            action.with_prefix(format!("{}{prefix}", self.prefix));
            if let Some(delimiter) = delimiter {
                action.with_delimiter(delimiter.to_owned());
            }
            match (&next, after) {
                (Some(token), _) => action.with_continuation_token(token.clone()),
                (None, Some(after)) => action.with_start_after(format!("{}{after}", self.prefix)),
                (None, None) => {}
            }
            let request = self.client.sign("GET", &action);
            let mut answer = self.client.send_without_body(&request)?;
            if answer.status != 200 {
                return Err(self.client.error(&request, answer));
            }
            let mut text = Vec::new();
            answer.read_pieces(MAX_LIST_PAGE, &mut |piece| {
                text.extend_from_slice(piece);
                Ok(())
            })?;
            let page = ListObjectsV2::parse_response(&String::from_utf8_lossy(&text))
                .map_err(|error| StoreError::refused(200, "BadList", &format!("The list cannot be read: {error}")))?;
            // The same token again would never end.
            let token = page.next_continuation_token.clone().filter(|token| next.as_ref() != Some(token));
            take(page);
            match token {
                Some(token) => next = Some(token),
                None => return Ok(()),
            }
        }
    }

    /// Deletes an object, unless it does not exist.
    pub fn delete(&self, key: &str) -> Result<(), StoreError> {
        let key = self.full_key(key)?;
        let action = self.client.bucket.delete_object(Some(&self.client.credentials), &key);
        let request = self.client.sign("DELETE", &action);
        let answer = self.client.send_without_body(&request)?;
        match answer.status {
            200..300 => Ok(()),
            404 if answer.is_missing_object() => Ok(()),
            _ => Err(self.client.error(&request, answer)),
        }
    }

    /// The key in the bucket. A URL cannot represent empty segments and segments of dots.
    fn full_key(&self, key: &str) -> Result<String, StoreError> {
        if key.split('/').any(|segment| ["", ".", ".."].contains(&segment)) {
            return Err(StoreError::refused(0, "InvalidKey", &format!("{key:?} is no key of an object")));
        }
        Ok(format!("{}{key}", self.prefix))
    }
}
