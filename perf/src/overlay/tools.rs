//! How each overlay is set up: the way its manual says, with its own defaults, on the same two addresses.

use super::Options;
use super::lab::{Lab, SIDES, Side, run, which};
use crate::BenchError;
use crate::measure::clock;
use nix::time::ClockId;
use nix::unistd::Pid;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// All of them, ours first.
pub const ALL: [&str; 6] = ["kith", "wireguard-go", "boringtun", "nebula", "tinc", "openvpn"];

/// An overlay that runs.
pub struct Overlay {
    pub name: &'static str,
    /// The address of side B in it.
    pub far: Ipv4Addr,
    /// Its processes, on both sides.
    pub daemons: Vec<Pid>,
}

/// Why one does not.
pub enum Missing {
    /// It is not there: what to do about it.
    Tool(String),
    /// It is there and fails.
    Broken(BenchError),
}

impl From<BenchError> for Missing {
    fn from(error: BenchError) -> Self {
        Self::Broken(error)
    }
}

impl Overlay {
    /// CPU time that its daemons have used.
    pub fn cpu_seconds(&self) -> f64 {
        let of = |pid: &Pid| ClockId::pid_cpu_clock_id(*pid).map_or(0.0, |id| clock(id).as_secs_f64());
        self.daemons.iter().map(of).sum()
    }
}

/// Brings one up and waits until side A reaches side B through it.
pub fn start(lab: &mut Lab, name: &'static str, options: &Options) -> Result<Overlay, Missing> {
    let place = ALL.iter().position(|known| *known == name);
    let number = 1 + place.unwrap_or(ALL.len()) as u8;
    let daemons = match name {
        "kith" => kith(lab, number, &options.agent),
        "wireguard-go" => {
            let program = need("wireguard-go", "wireguard-go")?;
            let start = |name: &str| vec![program.clone(), "-f".into(), name.into()];
            wireguard(lab, number, "wireguard-go", "kbwg", &start)
        }
        "boringtun" => {
            let program = text(&boringtun(options)?);
            let start = |name: &str| {
                vec![
                    program.clone(),
                    "-f".into(),
                    "--disable-drop-privileges".into(),
                    name.into(),
                ]
            };
            wireguard(lab, number, "boringtun", "kbbt", &start)
        }
        "nebula" => nebula(lab, number),
        "tinc" => tinc(lab, number),
        _ => openvpn(lab, number),
    }?;
    let far = Side::B.inner(number);
    lab.reaches(far)?;
    Ok(Overlay { name, far, daemons })
}

/// Two agents that reach each other without a director.
fn kith(lab: &mut Lab, number: u8, agent: &Path) -> Result<Vec<Pid>, Missing> {
    if !agent.is_file() {
        return Err(Missing::Tool(format!(
            "build kith-agent (cargo build --release -p kith-agent): no {}",
            agent.display()
        )));
    }
    let secret = run(
        Command::new("openssl").args(["rand", "-hex", "32"]),
        &["openssl rand"],
    )?;
    let mut daemons = Vec::new();
    for side in SIDES {
        let (folder, other) = (lab.folder("kith", side)?, side.other());
        let config = format!(
            "name: {me}.bench.example\naddress: {address}\npool: 10.201.{number}.0/24\ntun: kbkith\n\
             location: {{ public: \"{outer}:20202\" }}\nstatus_socket: {socket}\npeers:\n\
             - {{ name: {them}.bench.example, address: {far}, via: {{ direct: \"{far_outer}:20202\" }}, psk: {secret} }}\n",
            me = side.letter(),
            address = side.inner(number),
            outer = side.outer(),
            socket = text(&folder.join("status.sock")),
            them = other.letter(),
            far = other.inner(number),
            far_outer = other.outer(),
            secret = secret.trim(),
        );
        let file = folder.join("agent.yaml");
        write(&file, &config)?;
        daemons.push(lab.spawn(side, &[&text(agent), "--config", &text(&file)], &[], &folder)?);
    }
    Ok(daemons)
}

/// Programs that speak WireGuard and are configured with `wg`.
fn wireguard(
    lab: &mut Lab,
    number: u8,
    program: &str,
    interface: &str,
    start: &dyn Fn(&str) -> Vec<String>,
) -> Result<Vec<Pid>, Missing> {
    need("wg", "wireguard-tools")?;
    let port = 51_800 + u16::from(number);
    let mut daemons = Vec::new();
    let mut public = Vec::new();
    for side in SIDES {
        let folder = lab.folder(program, side)?;
        let private = run(Command::new("wg").arg("genkey"), &["wg genkey"])?;
        let file = folder.join("private");
        write(&file, &private)?;
        let pipe = format!("wg pubkey < {}", text(&file));
        public.push(run(Command::new("sh").args(["-c", &pipe]), &["wg pubkey"])?);
        // Both talk through sockets named after the interface, in one folder: the sides' names must differ.
        let name = format!("{interface}{}", side.letter());
        let command = start(&name);
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        daemons.push(lab.spawn(side, &command, &[("WG_PROCESS_FOREGROUND", "1")], &folder)?);
        lab.address(side, &name, side.inner(number))?;
    }
    for side in SIDES {
        let (name, other) = (format!("{interface}{}", side.letter()), side.other());
        let private = text(&lab.folder(program, side)?.join("private"));
        let endpoint = format!("{}:{port}", other.outer());
        let allowed = format!("{}/32", other.inner(number));
        let peer = public[other.index()].trim();
        let port = port.to_string();
        let own = ["wg", "set", &name, "private-key", &private, "listen-port", &port];
        let their = ["peer", peer, "allowed-ips", &allowed, "endpoint", &endpoint];
        lab.run(side, &[&own[..], &their].concat())?;
        lab.run(side, &["ip", "link", "set", &name, "mtu", "1420"])?;
    }
    Ok(daemons)
}

fn boringtun(options: &Options) -> Result<PathBuf, Missing> {
    let built = options.tools.join("bin/boringtun-cli");
    if let Some(found) = which("boringtun-cli").or_else(|| built.is_file().then(|| built.clone())) {
        return Ok(found);
    }
    if !options.build_boringtun {
        return Err(Missing::Tool("say --with-boringtun: cargo builds it".into()));
    }
    let root = text(&options.tools);
    let command = ["cargo", "install", "boringtun-cli", "--root", &root];
    run(Command::new("cargo").args(&command[1..]), &command)
        .map_err(|error| Missing::Tool(format!("boringtun-cli does not build: {error}")))?;
    Ok(built)
}

fn nebula(lab: &mut Lab, number: u8) -> Result<Vec<Pid>, Missing> {
    let program = need("nebula", "nebula")?;
    let cert = need("nebula-cert", "nebula")?;
    let authority = lab.folder("nebula", Side::A)?;
    let (ca, ca_key) = (text(&authority.join("ca.crt")), text(&authority.join("ca.key")));
    let make = ["ca", "-name", "kith-bench", "-out-crt", &ca, "-out-key", &ca_key];
    run(Command::new(&cert).args(make), &["nebula-cert ca"])?;
    let mut daemons = Vec::new();
    for side in SIDES {
        let folder = lab.folder("nebula", side)?;
        let (crt, key) = (text(&folder.join("host.crt")), text(&folder.join("host.key")));
        let name = side.letter().to_string();
        let address = format!("{}/24", side.inner(number));
        let sign = [
            "sign", "-ca-crt", &ca, "-ca-key", &ca_key, "-name", &name, "-ip", &address,
        ];
        let files = ["-out-crt", &crt, "-out-key", &key];
        run(Command::new(&cert).args(sign).args(files), &["nebula-cert sign"])?;
        let lighthouse = Side::A.inner(number);
        let (is_lighthouse, hosts) = match side {
            Side::A => ("true", String::new()),
            Side::B => ("false", format!("\"{lighthouse}\"")),
        };
        let config = format!(
            "pki: {{ ca: {ca}, cert: {crt}, key: {key} }}\n\
             static_host_map: {{ \"{a}\": [\"{a_outer}:4242\"], \"{b}\": [\"{b_outer}:4242\"] }}\n\
             lighthouse: {{ am_lighthouse: {is_lighthouse}, hosts: [{hosts}] }}\n\
             listen: {{ host: {outer}, port: 4242 }}\ntun: {{ dev: kbneb }}\n\
             firewall: {{ outbound: [{{ port: any, proto: any, host: any }}], inbound: [{{ port: any, proto: any, host: any }}] }}\n",
            a = Side::A.inner(number),
            a_outer = Side::A.outer(),
            b = Side::B.inner(number),
            b_outer = Side::B.outer(),
            outer = side.outer(),
        );
        let file = folder.join("config.yml");
        write(&file, &config)?;
        daemons.push(lab.spawn(side, &[&program, "-config", &text(&file)], &[], &folder)?);
    }
    Ok(daemons)
}

fn tinc(lab: &mut Lab, number: u8) -> Result<Vec<Pid>, Missing> {
    let program = need("tincd", "tinc")?;
    let mut hosts = Vec::new();
    for side in SIDES {
        let folder = lab.folder("tinc", side)?;
        let (me, them) = (side.letter(), side.other().letter());
        fs::create_dir_all(folder.join("hosts")).map_err(BenchError::io("a folder for tinc"))?;
        write(
            &folder.join("tinc.conf"),
            &format!("Name = {me}\nConnectTo = {them}\nInterface = kbtinc\n"),
        )?;
        let host = format!("Address = {}\nSubnet = {}/32\n", side.outer(), side.inner(number));
        let file = folder.join(format!("hosts/{me}"));
        write(&file, &host)?;
        let keys = ["--config", &text(&folder), "--generate-keys=2048"];
        run(Command::new(&program).args(keys), &["tincd --generate-keys"])?;
        hosts.push(fs::read_to_string(&file).map_err(BenchError::io("read tinc's host file"))?);
    }
    let mut daemons = Vec::new();
    for side in SIDES {
        let (folder, other) = (lab.folder("tinc", side)?, side.other());
        write(
            &folder.join(format!("hosts/{}", other.letter())),
            &hosts[other.index()],
        )?;
        let pidfile = format!("--pidfile={}", text(&folder.join("pid")));
        let command = [&program, "--config", &text(&folder), "--no-detach", &pidfile];
        daemons.push(lab.spawn(side, &command.map(|word: &str| word), &[], &folder)?);
        lab.address(side, "kbtinc", side.inner(number))?;
    }
    Ok(daemons)
}

/// Point to point over TLS; the two know each other by the fingerprints of certificates they signed themselves.
fn openvpn(lab: &mut Lab, number: u8) -> Result<Vec<Pid>, Missing> {
    let program = need("openvpn", "openvpn")?;
    need("openssl", "openssl")?;
    let mut prints = Vec::new();
    for side in SIDES {
        let folder = lab.folder("openvpn", side)?;
        let (crt, key) = (text(&folder.join("crt.pem")), text(&folder.join("key.pem")));
        let subject = format!("/CN={}", side.letter());
        let make = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ];
        let into = ["-subj", &subject, "-keyout", &key, "-out", &crt];
        run(Command::new("openssl").args(make).args(into), &["openssl req"])?;
        let show = ["x509", "-in", &crt, "-noout", "-fingerprint", "-sha256"];
        let printed = run(Command::new("openssl").args(show), &["openssl x509"])?;
        let print = printed.trim().rsplit('=').next().unwrap_or_default();
        prints.push(print.to_owned());
    }
    let mut daemons = Vec::new();
    for side in SIDES {
        let (folder, other) = (lab.folder("openvpn", side)?, side.other());
        let role = ["--tls-server", "--tls-client"][side.index()];
        let (own, far) = (side.inner(number).to_string(), other.inner(number).to_string());
        let (outer, far_outer) = (side.outer().to_string(), other.outer().to_string());
        let (crt, key) = (text(&folder.join("crt.pem")), text(&folder.join("key.pem")));
        let mut command = vec![
            program.as_str(),
            role,
            "--dev",
            "kbovpn",
            "--dev-type",
            "tun",
            "--disable-dco",
        ];
        command.extend([
            "--proto", "udp", "--local", &outer, "--remote", &far_outer, "--port", "1194",
        ]);
        command.extend([
            "--ifconfig",
            &own,
            &far,
            "--cert",
            &crt,
            "--key",
            &key,
            "--dh",
            "none",
        ]);
        command.extend([
            "--peer-fingerprint",
            &prints[other.index()],
            "--data-ciphers",
            "AES-256-GCM",
        ]);
        daemons.push(lab.spawn(side, &command, &[], &folder)?);
    }
    Ok(daemons)
}

fn need(program: &str, package: &str) -> Result<String, Missing> {
    which(program)
        .map(|path| text(&path))
        .ok_or_else(|| Missing::Tool(format!("install {package}")))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn write(path: &Path, content: &str) -> Result<(), BenchError> {
    fs::write(path, content).map_err(BenchError::io(text(path)))
}
