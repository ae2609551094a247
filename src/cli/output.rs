//! What commands print. Writing never panics and never stops a command: its work is done whether or not somebody reads
//! about it. The first error of stdout is kept, and decides the exit code at the end.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, StdoutLock, Write};
use std::process::ExitCode;

use parking_lot::Mutex;

/// The first error of stdout.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints to stdout, as `print!` does.
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::output::print(format_args!($($text)*)) };
}

/// Prints a line to stdout, as `outln!` does.
macro_rules! outln {
    ($($text:tt)*) => { $crate::cli::output::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line to stderr, as `errln!` does.
macro_rules! errln {
    ($($text:tt)*) => { $crate::cli::output::print_error(format_args!($($text)*)) };
}

pub(crate) use {errln, out, outln};

pub fn print(text: Arguments<'_>) {
    let mut failed = FAILED.lock();
    // After an error nothing more is written: a text with a hole in it would be worse than one that ends.
    if failed.is_none() {
        *failed = try_print(text).err();
    }
}

/// Writes rows without end to stdout. They stop where it fails, and that decides the exit code as it does for [`print()`].
pub fn stream(write: impl FnOnce(StdoutLock<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let Err(error) = write(io::stdout().lock()) else { return Ok(()) };
    *FAILED.lock() = Some(error.downcast::<io::Error>()?);
    Ok(())
}

/// Prints the help or the version that was asked for.
pub fn print_help(help: &clap::Error) {
    let printed = help.print().and_then(|()| io::stdout().flush());
    *FAILED.lock() = printed.err();
}

/// Prints to stdout, for a caller that goes on without it.
pub fn try_print(text: Arguments<'_>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_fmt(text)?;
    stdout.flush()
}

/// Stderr is the last resort: what it does not take is lost.
pub fn print_error(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(format_args!("{text}\n"));
}

/// The exit code of a command, given that of its work: failure if stdout failed, unless its reader only went away.
pub fn finish(code: ExitCode) -> ExitCode {
    let failed = FAILED.lock().take();
    match failed {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            errln!("cx-engine: cannot write to stdout: {error}");
            ExitCode::FAILURE
        }
        _ => code,
    }
}
