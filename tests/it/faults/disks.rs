//! Disks of a test's own: small, to be filled, and to be taken away from those who write.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::not_run;

/// A file system that is there until this is dropped: after the server on it.
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// In memory, of so many MiB; nothing, and a word on stderr, where this machine lets nobody mount.
    pub fn in_memory(mebibytes: u32) -> Option<Self> {
        let disk = Self::unmounted();
        disk.mount(&["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
    }

    /// In a file, as a file system that takes no more writes once it has failed.
    pub fn in_file() -> Option<Self> {
        let disk = Self::unmounted();
        let image = disk.folder.path().join("image");
        File::create(&image).and_then(|file| file.set_len(48 << 20)).unwrap();
        if !succeeds(Command::new("mkfs.ext4").arg("-q").arg(&image)) {
            not_run("there is no mkfs.ext4, which makes a disk that can fail");
            return None;
        }
        disk.mount(&["-o", "loop,errors=remount-ro", image.to_str().unwrap()])
    }

    fn unmounted() -> Self {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(disk.root()).unwrap();
        disk
    }

    fn mount(self, arguments: &[&str]) -> Option<Self> {
        if succeeds(Command::new("mount").args(arguments).arg(self.root())) {
            return Some(self);
        }
        not_run("this machine lets this user mount nothing, so there is no disk to be filled or to fail");
        None
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// A folder on it for a data directory.
    pub fn data(&self) -> PathBuf {
        let data = self.root().join("data");
        fs::create_dir_all(&data).unwrap();
        data
    }

    /// Fills it to the last byte, but for so many.
    pub fn fill_but(&self, left: u64) {
        let mut file = File::options().create(true).append(true).open(self.ballast()).unwrap();
        for piece in [1 << 16, 1 << 12, 1] {
            loop {
                match file.write_all(&vec![0; piece]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        let size = file.metadata().unwrap().len();
        file.set_len(size.checked_sub(left).expect("more ballast than is to be left")).unwrap();
    }

    /// Throws the ballast away.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.root().join("ballast")
    }

    /// Lets nobody write any more; nobody may have anything open to write just now.
    pub fn write_protect(&self) {
        assert!(self.remount("ro"));
    }

    /// Fails as ext4 does that has found itself damaged: from here on it can be read and not be written, whoever has what open.
    pub fn fail(&self) {
        assert!(self.remount("abort"));
    }

    fn remount(&self, how: &str) -> bool {
        succeeds(Command::new("mount").arg("-o").arg(format!("remount,{how}")).arg(self.root()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever has a file of it open yet, keeps it until then.
        succeeds(Command::new("umount").arg("-l").arg(self.root()));
    }
}

/// Whether a program that is there does what it is asked.
fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Every file below a folder whose name ends so.
pub fn files_below(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, endings));
        } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}
