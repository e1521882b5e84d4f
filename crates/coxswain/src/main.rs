//! The binary: reads the command line and hands over. Helpers of the container runtime are this same program under another name
//! and must not start threads, so they are looked for before anything else.
mod cli;
mod command;
mod components;
mod config;
mod daemon;
mod failure;
mod instance;
mod logs;
mod ports;
mod progress;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(code) = command::internal(&arguments) {
        return code;
    }
    let cli = cli::Cli::parse();
    match command::run(cli) {
        Ok(code) => code,
        Err(failure) => {
            failure.tell();
            ExitCode::FAILURE
        }
    }
}
