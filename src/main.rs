//! The program: reads the command line, runs it, prints why it failed, sets the exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cx_engine::cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cx-engine: {error:#}");
            ExitCode::FAILURE
        }
    }
}
