//! `coxswain image …`: images without a registry. Works on the image store directly, beside a running instance or without one.
use super::{block_on, print};
use crate::cli::{Flags, ImageCommand};
use crate::components::containers;
use crate::config::Config;
use crate::failure::{Doing, Failure};
use runtime::Registries;
use runtime::image::config::Settings;
use runtime::image::reference::Reference;
use runtime::image::{Image, Store, archive, build, registry};
use std::fs::File;
use std::process::ExitCode;
use std::sync::Arc;

pub fn run(command: &ImageCommand) -> Result<ExitCode, Failure> {
    match command {
        ImageCommand::Ls { flags } => list(&open(flags)?.1),
        ImageCommand::Pull { image, flags } => pull(image, flags)?,
        ImageCommand::Import { path, name, flags } => {
            archive::import(&open(flags)?.1, path, name.as_deref()).doing(path.display())?.iter().for_each(tell);
        }
        ImageCommand::Export { image, path, flags } => {
            let (_, store) = open(flags)?;
            store.find(image).ok_or_else(|| absent(image))?;
            let file = File::create(path).doing(path.display())?;
            archive::export(&store, image, file).doing(image)?;
        }
        ImageCommand::Rm { image, flags } => remove(image, flags)?,
        ImageCommand::BuildFromDir { dir, name, entrypoint, env, flags } => {
            let settings = Settings { entrypoint: entrypoint.clone(), env: env.clone(), ..Settings::default() };
            tell(&build::from_folder(&open(flags)?.1, dir, name, settings).doing(dir.display())?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(flags: &Flags) -> Result<(Config, Store), Failure> {
    let config = flags.settings()?;
    let store = containers::images(&config)?;
    Ok((config, store))
}

fn absent(image: &str) -> Failure {
    Failure(format!("there is no image {image}; `coxswain image ls` shows what is there"))
}

fn list(store: &Store) {
    print(&format!("{:<64} {:<14} {:>10}", "IMAGE", "ID", "SIZE"));
    store.list().iter().for_each(tell);
}

fn tell(image: &Image) {
    let names: Vec<&String> = if image.tags.is_empty() { image.digests.iter().collect() } else { image.tags.iter().collect() };
    let id: String = image.id.trim_start_matches("sha256:").chars().take(12).collect();
    for name in names {
        print(&format!("{name:<64} {id:<14} {:>7.1} MB", image.size_bytes as f64 / 1e6));
    }
}

fn pull(image: &str, flags: &Flags) -> Result<(), Failure> {
    let (config, store) = open(flags)?;
    let reference = Reference::parse(image).doing(image)?;
    let mirrors = config.registry_mirrors.iter().map(|(host, url)| (host.clone(), vec![url.clone()])).collect();
    let registries = Registries { mirrors, ..Registries::default() };
    let pulled = block_on(async { registry::pull(&Arc::new(store), &registries, &reference, None).await.doing(image) })?;
    tell(&pulled);
    Ok(())
}

/// Layers that containers use stay until they are gone.
fn remove(image: &str, flags: &Flags) -> Result<(), Failure> {
    let (config, store) = open(flags)?;
    let used = containers::layers_in_use(&config)?;
    match store.remove(image, &used).doing(image)? {
        true => Ok(()),
        false => Err(absent(image)),
    }
}
