//! Reads the objects of a backup as one stream. An object is handed on only after its checksum is verified.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use super::{Destination, Part};

pub struct PartReader<'a> {
    destination: &'a Destination,
    /// The name of the object with this number, from 1.
    name: &'a dyn Fn(usize) -> String,
    parts: &'a [Part],
    /// Number of parts that were read.
    read: usize,
    /// The file that holds the current part.
    path: PathBuf,
    file: Option<File>,
    /// Gets the bytes that were read.
    progress: &'a mut dyn FnMut(u64),
}

impl<'a> PartReader<'a> {
    /// `path` is unused and on a disk with space for one part.
    pub fn new(
        destination: &'a Destination,
        name: &'a dyn Fn(usize) -> String,
        parts: &'a [Part],
        path: PathBuf,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self { destination, name, parts, read: 0, path, file: None, progress }
    }

    /// Reads every part and verifies its checksum. Returns the problems.
    pub fn verify(mut self) -> anyhow::Result<Vec<String>> {
        let mut problems = Vec::new();
        while self.read < self.parts.len() {
            if let Err(error) = self.fetch() {
                problems.push(format!("{error:#}"));
            }
            self.read += 1;
            (self.progress)(self.parts[..self.read].iter().map(|part| part.bytes).sum());
        }
        Ok(problems)
    }

    /// Fetches the next part into the file.
    fn fetch(&self) -> anyhow::Result<File> {
        self.destination.fetch(&(self.name)(self.read + 1), &self.parts[self.read], &self.path)
    }
}

impl Read for PartReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.file {
                match file.read(into)? {
                    0 => self.file = None,
                    length => return Ok(length),
                }
            }
            if self.read == self.parts.len() {
                return Ok(0);
            }
            self.file = Some(self.fetch().map_err(|error| io::Error::other(format!("{error:#}")))?);
            self.read += 1;
            (self.progress)(self.parts[..self.read].iter().map(|part| part.bytes).sum());
        }
    }
}

impl Drop for PartReader<'_> {
    fn drop(&mut self) {
        // The folder of the file is temporary.
        let _ = fs::remove_file(&self.path);
    }
}
