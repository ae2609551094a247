//! The output of commands. Writing never panics and never stops a command, since its work matters even if the output is
//! not read. The first error of stdout decides the exit code.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, StdoutLock, Write};
use std::process::ExitCode;

use parking_lot::Mutex;

/// The first error of stdout.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints to stdout, like `print!`.
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::output::print(format_args!($($text)*)) };
}

/// Prints a line to stdout, like `println!`.
macro_rules! outln {
    ($($text:tt)*) => { $crate::cli::output::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line to stderr, like `eprintln!`.
macro_rules! errln {
    ($($text:tt)*) => { $crate::cli::output::print_error(format_args!($($text)*)) };
}

pub(crate) use {errln, out, outln};

pub fn print(text: Arguments<'_>) {
    let mut failed = FAILED.lock();
    // After an error nothing more is written: a truncated text is better than one with a gap.
    if failed.is_none() {
        *failed = try_print(text).err();
    }
}

/// Streams rows to stdout. An error stops it and decides the exit code, as for [`print()`].
pub fn stream(write: impl FnOnce(StdoutLock<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let Err(error) = write(io::stdout().lock()) else { return Ok(()) };
    *FAILED.lock() = Some(error.downcast::<io::Error>()?);
    Ok(())
}

/// Prints the help or the version.
pub fn print_help(help: &clap::Error) {
    let printed = help.print().and_then(|()| io::stdout().flush());
    *FAILED.lock() = printed.err();
}

/// Prints to stdout; the caller handles an error.
pub fn try_print(text: Arguments<'_>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_fmt(text)?;
    stdout.flush()
}

/// Prints to stderr. An error is ignored.
pub fn print_error(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(format_args!("{text}\n"));
}

/// The final exit code of a command: failure if stdout failed, unless the reader closed the pipe.
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
