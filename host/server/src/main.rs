//! The command `aftercommit`. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    aftercommit::cli::main()
}
