//! Real containers, as root, in a temporary folder: the program is daemon, keeper and helper in one, as the product's binary is.
//! Each test leaves the machine as it found it: mounts, cgroups and processes are compared.
mod stories;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(runtime::HELPER) => ExitCode::from(runtime::helper_main(&arguments[1..]) as u8),
        Some(runtime::KEEPER) => ExitCode::from(runtime::keeper_main(&arguments[1..]) as u8),
        Some("daemon") => stories::world::daemon(&arguments[1]),
        Some("bench") => {
            stories::bench::run(arguments.get(1).and_then(|count| count.parse().ok()).unwrap_or(20));
            ExitCode::SUCCESS
        }
        Some("pull") => {
            stories::bench::pull(&arguments[1]);
            ExitCode::SUCCESS
        }
        _ => run(arguments.iter().find(|argument| !argument.starts_with('-')).map(String::as_str).unwrap_or_default()),
    }
}

#[allow(clippy::print_stdout)]
fn run(filter: &str) -> ExitCode {
    let mut failed = 0;
    for (name, story) in stories::ALL.iter().filter(|(name, _)| name.contains(filter)) {
        let began = std::time::Instant::now();
        let told = std::panic::catch_unwind(story);
        println!("test {name} ... {} ({} ms)", if told.is_ok() { "ok" } else { "FAILED" }, began.elapsed().as_millis());
        failed += usize::from(told.is_err());
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
