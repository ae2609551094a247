//! Disks for tests: small ones to fill, and ones that stop accepting writes.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::not_run;

/// A mounted file system; must be dropped after the server that uses it.
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// In memory, with so many MiB. Returns `None`, with a message, if this machine does not allow mounts.
    pub fn in_memory(mebibytes: u32) -> Option<Self> {
        let disk = Self::unmounted();
        disk.mount(&["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
    }

    /// In a file, with a file system that accepts no writes after a failure.
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

    /// A folder for a data directory.
    pub fn data(&self) -> PathBuf {
        let data = self.root().join("data");
        fs::create_dir_all(&data).unwrap();
        data
    }

    /// Fills the disk, except for so many bytes.
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

    /// Deletes the filling.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.root().join("ballast")
    }

    /// Makes the disk read-only. No file may be open for writing.
    pub fn write_protect(&self) {
        assert!(self.remount("ro"));
    }

    /// Fails like ext4 after it found damage: the disk is read-only from now on, even for open files.
    pub fn fail(&self) {
        assert!(self.remount("abort"));
    }

    fn remount(&self, how: &str) -> bool {
        succeeds(Command::new("mount").arg("-o").arg(format!("remount,{how}")).arg(self.root()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Unmounts lazily: open files stay usable until they are closed.
        succeeds(Command::new("umount").arg("-l").arg(self.root()));
    }
}

/// True if a program exists and succeeds.
fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// All files below a folder with one of these name endings.
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
