//! Writes a stream as objects of equal size. Each object is read again and compared before the next one is begun.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use sha2::{Digest, Sha256};

use super::{Destination, Part};
use crate::values::checksum::hexadecimal;

pub struct PartWriter<'a> {
    destination: &'a Destination,
    /// The name of the object with this number, from 1.
    name: &'a dyn Fn(usize) -> String,
    part_bytes: u64,
    /// The file that collects a part. It is on a local disk, so that no part is in memory.
    path: PathBuf,
    file: Option<File>,
    digest: Sha256,
    /// Bytes in the file.
    bytes: u64,
    parts: Vec<Part>,
    /// Gets the bytes that are stored.
    progress: &'a mut dyn FnMut(u64),
}

impl<'a> PartWriter<'a> {
    /// `path` is unused and on a disk with space for one part.
    pub fn new(
        destination: &'a Destination,
        name: &'a dyn Fn(usize) -> String,
        part_bytes: u64,
        path: PathBuf,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        let (digest, parts) = (Sha256::new(), Vec::new());
        Self { destination, name, part_bytes, path, file: None, digest, bytes: 0, parts, progress }
    }

    /// Stores the rest. Returns all parts.
    pub fn finish(mut self) -> anyhow::Result<Vec<Part>> {
        self.store()?;
        Ok(self.parts)
    }

    /// Stores the collected part, and reads it again.
    fn store(&mut self) -> anyhow::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        drop(file);
        let sha256 = hexadecimal(std::mem::take(&mut self.digest).finalize());
        let part = Part { bytes: std::mem::take(&mut self.bytes), sha256 };
        let name = (self.name)(self.parts.len() + 1);
        self.destination.put(&name, &self.path, part.bytes)?;
        let read = self.destination.fetch(&name, &part, &self.path);
        read.with_context(|| format!("{name} is not the same when it is read again after it was stored"))?;
        fs::remove_file(&self.path).with_context(|| format!("cannot delete {}", self.path.display()))?;
        self.parts.push(part);
        (self.progress)(self.parts.iter().map(|part| part.bytes).sum());
        Ok(())
    }
}

impl Write for PartWriter<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.bytes == self.part_bytes {
            self.store().map_err(|error| io::Error::other(format!("{error:#}")))?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(File::create_new(&self.path)?),
        };
        let room = usize::try_from(self.part_bytes - self.bytes).unwrap_or(usize::MAX);
        let written = file.write(&data[..data.len().min(room)])?;
        self.digest.update(&data[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
