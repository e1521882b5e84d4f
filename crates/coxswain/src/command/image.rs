//! `coxswain image …`: images without a registry. Works on the image store directly, beside a running instance or without one.
use super::{block_on, print};
use crate::cli::ImageCommand;
use crate::failure::Failure;
use std::process::ExitCode;

pub fn run(_command: &ImageCommand) -> Result<ExitCode, Failure> {
    let _ = block_on::<()>;
    let _ = print;
    Err(Failure("not wired".into()))
}
