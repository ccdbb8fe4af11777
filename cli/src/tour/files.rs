//! A random file over HTTP with curl, in every direction; its SHA-256 must be the same at both ends.

use super::tools::Running;
use super::{Check, Tour};
use crate::error::Error;
use std::fs;
use std::io::Read;
use std::path::Path;

const MEGABYTES: usize = 50;
pub(super) const PORT: u16 = 8080;

pub(super) fn step(tour: &mut Tour) -> Result<Check, Error> {
    let pairs = tour.pairs();
    let mut check = Check::of(format!(
        "a random file of {MEGABYTES} MB over HTTP with curl, {} ordered pairs, SHA-256 compared",
        pairs.len()
    ));
    let served = tour.work.join("served");
    fs::create_dir_all(&served).map_err(|source| io("make", &served, source))?;
    let file = served.join("random");
    write_random(&file)?;
    // One for each membership: a device in two communities has two addresses.
    let mut servers: Vec<(String, Running)> = Vec::new();
    for (_, to) in &pairs {
        let address = to.virtual_ip.to_string();
        if !servers.iter().any(|(served, _)| *served == address) {
            let server = serve(tour, to.node.as_str(), &address, &served)?;
            servers.push((address, server));
        }
    }
    let expected = sum(tour, &pairs[0].0.node.to_string(), &file)?;
    for (from, to) in &pairs {
        let (a, b) = (from.node.as_str(), to.node.as_str());
        // The file comes from `to`, so the direction that carries it is to → from.
        let fetched = tour.work.join("fetched");
        let url = format!("http://{}:{PORT}/random", to.fqdn);
        let target = fetched.display().to_string();
        let argv = [
            "curl",
            "-sS",
            "--fail",
            "-o",
            &target,
            "-w",
            "%{speed_download}",
            &url,
        ];
        let ran = tour.on(a, 60, &argv)?;
        let same = ran.ok && sum(tour, a, &fetched)? == expected;
        check.expect(same, || {
            format!(
                "{b} to {a}: the file did not arrive as it was sent\n{}",
                ran.said()
            )
        });
        if let Ok(speed) = ran.out.trim().parse::<f64>() {
            tour.figures.pair(b, a).http_mbit = Some(speed * 8.0 / 1e6);
        }
    }
    let speeds: Vec<f64> = tour
        .figures
        .pairs
        .values()
        .flat_map(|row| row.values())
        .filter_map(|pair| pair.http_mbit)
        .collect();
    check.measure(format!(
        "{} of {} arrived whole; {:.0} to {:.0} Mbit/s; SHA-256 {}…",
        pairs.len() - check.failures.len(),
        pairs.len(),
        speeds.iter().copied().fold(f64::MAX, f64::min).min(1e6),
        speeds.iter().copied().fold(0.0, f64::max),
        &expected[..expected.len().min(16)]
    ));
    let _left_for_down = fs::remove_dir_all(&served);
    let _left_for_down = fs::remove_file(tour.work.join("fetched"));
    Ok(check)
}

/// A file server on a node.
pub(super) fn serve(tour: &Tour, node: &str, address: &str, folder: &Path) -> Result<Running, Error> {
    let python = if Path::new("/usr/bin/python3").exists() {
        "/usr/bin/python3"
    } else {
        "python3"
    };
    let (port, folder) = (PORT.to_string(), folder.display().to_string());
    let log = format!("http-{node}-{address}.log");
    let argv = [
        python,
        "-m",
        "http.server",
        &port,
        "--bind",
        address,
        "--directory",
        &folder,
    ];
    let server = tour.background(node, &log, &argv)?;
    if tour.wait_listen_at(node, address, PORT)? {
        Ok(server)
    } else {
        Err(Error::Command {
            command: argv.join(" "),
            stderr: tour.log(&log),
        })
    }
}

fn sum(tour: &Tour, node: &str, file: &Path) -> Result<String, Error> {
    let ran = tour.on(node, 20, &["sha256sum", &file.display().to_string()])?;
    Ok(ran.out.split_whitespace().next().unwrap_or_default().to_owned())
}

fn write_random(path: &Path) -> Result<(), Error> {
    let from = Path::new("/dev/urandom");
    let mut source = fs::File::open(from)
        .map_err(|error| io("open", from, error))?
        .take((MEGABYTES * 1_000_000) as u64);
    let mut file = fs::File::create(path).map_err(|error| io("write", path, error))?;
    std::io::copy(&mut source, &mut file).map_err(|error| io("write", path, error))?;
    Ok(())
}

fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}
