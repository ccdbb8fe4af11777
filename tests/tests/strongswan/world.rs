//! strongSwan's charon and `kith-agent standard`, each in a network namespace of its own, with a router between them.
//!
//! ```text
//!   kt-N-k                     kt-N-r                     kt-N-s
//!  ┌──────────────┐           ┌──────────────┐           ┌──────────────┐
//!  │ kith-agent   │ 192.0.2.0/24 router      │198.51.100.0/24 charon    │
//!  │ 10.0.1.1     ├─.1────.254┤  (nftables)  ├.254────.1─┤ 10.0.2.1     │
//!  └──────────────┘           └──────────────┘           └──────────────┘
//! ```
//!
//! charon seals with its own userland ESP (kernel-libipsec): nothing of it needs the kernel's IPsec.

use kith_tests::installed;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Where both are outside, and inside their tunnels.
pub const OUTSIDE: [&str; 2] = ["192.0.2.1", "198.51.100.1"];
pub const INSIDE: [&str; 2] = ["10.0.1.1", "10.0.2.1"];
/// What the router's address is on charon's side.
pub const TRANSLATED: &str = "198.51.100.254";

/// The two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Kith,
    Swan,
}

/// How both prove who they are.
pub enum Proof {
    Psk,
    /// Folder with `ca.pem`, `kith.pem`, `kith.key`, `swan.pem`, `swan.key`.
    Certificates(PathBuf),
}

/// What differs between tests.
pub struct Setup {
    pub proof: Proof,
    /// When kith begins.
    pub start: &'static str,
    /// More lines of kith's configuration.
    pub kith: &'static str,
    /// More lines of strongswan.conf, in `charon { }`.
    pub charon: &'static str,
    /// More lines of the connection in swanctl.conf.
    pub connection: &'static str,
    /// Kith's shared secret.
    pub secret: &'static str,
    /// What charon takes for the networks behind kith.
    pub remote_ts: &'static str,
    /// More lines of the child.
    pub child: &'static str,
    pub router_mtu: u32,
    /// The router hides kith behind its own address.
    pub nat: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            proof: Proof::Psk,
            start: "at-once",
            kith: "",
            charon: "",
            connection: "",
            secret: "correct horse battery staple",
            remote_ts: "10.0.1.0/24",
            child: "",
            router_mtu: 1500,
            nat: false,
        }
    }
}

/// Namespaces, programs and files; all gone when dropped.
pub struct World {
    prefix: String,
    pub folder: tempfile::TempDir,
    kith: Option<Child>,
    charon: Option<Child>,
    others: Vec<Child>,
}

impl World {
    /// Everything runs; nobody has begun unless kith's configuration says so.
    pub fn new(setup: &Setup) -> Self {
        let mut world = Self::network(setup);
        world.write(setup);
        world.start_charon();
        world.start_kith();
        world
    }

    fn network(setup: &Setup) -> Self {
        let id = Command::new("id").arg("-u").output().unwrap();
        assert_eq!(
            id.stdout, b"0\n",
            "these tests make network namespaces: run them as root"
        );
        let prefix = format!(
            "kt-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = tempfile::tempdir().unwrap();
        // Made first: whatever goes wrong, it is removed.
        let world = Self {
            prefix,
            folder,
            kith: None,
            charon: None,
            others: Vec::new(),
        };
        let p = &world.prefix;
        for name in ["k", "r", "s"] {
            run(&format!("ip netns add {p}-{name}"));
            run(&format!("ip -n {p}-{name} link set lo up"));
        }
        for (name, subnet) in [("k", "192.0.2"), ("s", "198.51.100")] {
            run(&format!(
                "ip link add name wan netns {p}-{name} type veth peer name to-{name} netns {p}-r"
            ));
            run(&format!("ip -n {p}-{name} addr add {subnet}.1/24 dev wan"));
            run(&format!("ip -n {p}-r addr add {subnet}.254/24 dev to-{name}"));
            run(&format!("ip -n {p}-{name} link set wan up"));
            run(&format!(
                "ip -n {p}-r link set to-{name} up mtu {}",
                setup.router_mtu
            ));
            run(&format!("ip -n {p}-{name} route add default via {subnet}.254"));
        }
        run(&format!("ip -n {p}-s addr add {}/24 dev lo", INSIDE[1]));
        run(&format!("ip netns exec {p}-r sysctl -qw net.ipv4.ip_forward=1"));
        if setup.nat {
            run(&format!("ip netns exec {p}-r nft add table ip nat"));
            run(&format!(
                "ip netns exec {p}-r nft add chain ip nat out {{ type nat hook postrouting priority 100 ; }}"
            ));
            run(&format!(
                "ip netns exec {p}-r nft add rule ip nat out oifname to-s meta l4proto udp masquerade to :40000-50000 random"
            ));
        }
        world
    }

    fn write(&self, setup: &Setup) {
        let folder = self.folder.path().display();
        let (kith_proof, swan_proof, swan_secret) = match &setup.proof {
            Proof::Psk => (
                format!("  psk: {}", setup.secret),
                ["auth = psk".to_owned(), "auth = psk".to_owned()],
                "secrets { ike { secret = \"correct horse battery staple\"\n } }".to_owned(),
            ),
            Proof::Certificates(at) => {
                let at = at.display();
                (
                    format!(
                        "  certificate: {at}/kith.pem\n  key: {at}/kith.key\n  authorities: [{at}/ca.pem]"
                    ),
                    [
                        format!("auth = pubkey\n certs = {at}/swan.pem"),
                        format!("auth = pubkey\n cacerts = {at}/ca.pem"),
                    ],
                    String::new(),
                )
            }
        };
        let kith = format!(
            "listen: {}\nadapter: kith-std0\naddress: {}\nsocket: {folder}/kith.sock\n{}\npeers:\n- name: swan\n  remote: {}\n  \
             own_id: kith.kith.example\n  peer_id: swan.kith.example\n{kith_proof}\n  local: [10.0.1.0/24]\n  \
             remote_nets: [10.0.2.0/24]\n  start: {}\n",
            OUTSIDE[0], INSIDE[0], setup.kith, OUTSIDE[1], setup.start
        );
        fs::write(self.folder.path().join("kith.yaml"), kith).unwrap();
        let charon = format!(
            "charon {{\n load = random nonce aes sha1 sha2 hmac kdf gcm curve25519 openssl pem pkcs1 pkcs8 x509 constraints \
             pubkey kernel-libipsec kernel-netlink socket-default vici updown\n send_vendor_id = no\n install_routes = yes\n \
             {}\n plugins {{ vici {{ socket = unix://{folder}/vici\n }} }}\n \
             filelog {{ f {{ path = {folder}/charon.log\n default = 1\n ike = 2\n chd = 2\n flush_line = yes\n }} }}\n}}\n",
            setup.charon
        );
        fs::write(self.folder.path().join("strongswan.conf"), charon).unwrap();
        let swanctl = format!(
            "connections {{ t {{ version = 2\n local_addrs = {}\n remote_addrs = {}\n proposals = aes256gcm16-prfsha256-x25519\n \
             {}\n local {{ {}\n id = swan.kith.example\n }}\n remote {{ {}\n id = kith.kith.example\n }}\n \
             children {{ c {{ esp_proposals = aes256gcm16,aes256gcm16-x25519\n local_ts = 10.0.2.0/24\n remote_ts = {}\n \
             start_action = none\n {}\n }} }} }} }}\n{swan_secret}\n",
            OUTSIDE[1],
            if setup.nat { "%any" } else { OUTSIDE[0] },
            setup.connection,
            swan_proof[0],
            swan_proof[1],
            setup.remote_ts,
            setup.child,
        );
        // `swanctl` reads private keys out of folders beside its file.
        let private = self.folder.path().join("private");
        fs::create_dir_all(&private).unwrap();
        if let Proof::Certificates(at) = &setup.proof {
            fs::copy(at.join("swan.key"), private.join("swan.key")).unwrap();
        }
        fs::write(self.folder.path().join("swanctl.conf"), swanctl).unwrap();
    }

    /// In a mount namespace with a /run of its own, so that its pid file meets nobody's.
    fn start_charon(&mut self) {
        let script = "mount -t tmpfs tmpfs /run && exec /usr/lib/ipsec/charon";
        let child = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.namespace(End::Swan),
                "unshare",
                "-m",
                "sh",
                "-c",
                script,
            ])
            .env("STRONGSWAN_CONF", self.folder.path().join("strongswan.conf"))
            .stdout(Stdio::null())
            .stderr(self.log("charon.err"))
            .spawn();
        self.charon = Some(child.unwrap());
        self.until("charon answers", 20, |world| {
            world.folder.path().join("vici").exists()
        });
        let file = self.folder.path().join("swanctl.conf").display().to_string();
        self.until("charon takes its configuration", 20, |world| {
            world.swanctl(&["--load-all", "--file", &file]).is_some()
        });
    }

    fn start_kith(&mut self) {
        let child = Command::new("ip")
            .args(["netns", "exec", &self.namespace(End::Kith)])
            .arg(installed("kith-agent"))
            .args(["standard", "--config"])
            .arg(self.folder.path().join("kith.yaml"))
            .env("KITH_LOG", "info")
            .stderr(self.log("kith.log"))
            .spawn();
        self.kith = Some(child.unwrap());
        self.until("kith answers", 20, |world| world.ask("\"status\"").is_some());
    }

    fn log(&self, name: &str) -> fs::File {
        fs::File::create(self.folder.path().join(name)).unwrap()
    }

    pub fn namespace(&self, end: End) -> String {
        let letter = match end {
            End::Kith => 'k',
            End::Swan => 's',
        };
        format!("{}-{letter}", self.prefix)
    }

    /// Asks kith; none if it does not answer.
    pub fn ask(&self, request: &str) -> Option<Value> {
        let mut stream = UnixStream::connect(self.folder.path().join("kith.sock")).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        writeln!(stream, "{request}").ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// Asks kith to do something to the tunnel, which it must be able to.
    pub fn order(&self, what: &str) {
        let answer = self.ask(&format!("{{\"{what}\":\"swan\"}}"));
        let done = answer.as_ref().is_some_and(|answer| answer["done"] == true);
        assert!(done, "{what}: {answer:?}\n{}", self.logs());
    }

    /// What kith says of the peer.
    pub fn peer(&self) -> Value {
        let status = self.ask("\"status\"").unwrap_or_default();
        status["peers"][0].clone()
    }

    pub fn count(&self, name: &str) -> u64 {
        self.peer()["counts"][name].as_u64().unwrap_or_default()
    }

    /// What kith dropped for this reason.
    pub fn dropped(&self, name: &str) -> u64 {
        let status = self.ask("\"status\"").unwrap_or_default();
        status["drops"][name].as_u64().unwrap_or_default()
    }

    /// Runs `swanctl`; what it printed, or nothing if it failed.
    pub fn swanctl(&self, arguments: &[&str]) -> Option<String> {
        let uri = format!("unix://{}/vici", self.folder.path().display());
        let output = Command::new("ip")
            .args(["netns", "exec", &self.namespace(End::Swan), "swanctl"])
            .args(arguments)
            .args(["--uri", &uri])
            .env("STRONGSWAN_CONF", self.folder.path().join("strongswan.conf"))
            .env("SWANCTL_DIR", self.folder.path())
            .output()
            .unwrap();
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            fs::write(self.folder.path().join("swanctl.err"), text).unwrap();
            return None;
        }
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The same, and it must succeed.
    pub fn swan(&self, arguments: &[&str]) -> String {
        self.swanctl(arguments)
            .unwrap_or_else(|| panic!("swanctl {arguments:?} failed\n{}", self.logs()))
    }

    /// Both agree that there is one association with one pair, and packets pass both ways.
    pub fn established(&self) {
        self.until("the tunnel is up", 20, |world| {
            let peer = world.peer();
            peer["up"] == true && peer["pairs"] == 1
        });
        self.pings();
    }

    pub fn pings(&self) {
        for (from, to) in [(End::Kith, INSIDE[1]), (End::Swan, INSIDE[0])] {
            let from_address = INSIDE[usize::from(from == End::Swan)];
            self.until("packets pass", 5, |world| {
                let command = format!("ping -c 1 -W 1 -I {from_address} {to}");
                world.exec(from, &command).status.success()
            });
        }
    }

    pub fn exec(&self, end: End, command: &str) -> Output {
        Command::new("ip")
            .args(["netns", "exec", &self.namespace(end), "sh", "-c", command])
            .output()
            .unwrap()
    }

    /// The same, and it must succeed; gives what it printed.
    pub fn good(&self, end: End, command: &str) -> String {
        let output = self.exec(end, command);
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {text}\n{}", self.logs());
        text
    }

    /// Leaves a command running until the end; its process id.
    pub fn leave_running(&mut self, end: End, command: &[&str]) -> u32 {
        let child = Command::new("ip")
            .args(["netns", "exec", &self.namespace(end)])
            .args(command)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let id = child.id();
        self.others.push(child);
        id
    }

    /// Ends a command as a terminal would.
    pub fn interrupt(&self, id: u32) {
        run(&format!("kill -INT {id}"));
    }

    /// `ip netns exec` becomes the program: its process id is the program's.
    pub fn signal(&self, end: End, signal: &str) {
        let child = match end {
            End::Kith => &self.kith,
            End::Swan => &self.charon,
        };
        let id = child.as_ref().map(Child::id).unwrap();
        run(&format!("kill -{signal} {id}"));
    }

    pub fn kith_id(&self) -> u32 {
        self.kith.as_ref().map(Child::id).unwrap()
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, seconds: u64, is_so: impl Fn(&Self) -> bool) {
        let (start, patience) = (Instant::now(), Duration::from_secs(seconds));
        while !is_so(self) {
            assert!(
                start.elapsed() < patience,
                "not within {seconds} s: {what}\n{}",
                self.logs()
            );
            sleep(Duration::from_millis(50));
        }
    }

    pub fn logs(&self) -> String {
        let read = |name: &str| {
            let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(120)..].join("\n");
            format!("---- {name}\n{last}\n")
        };
        ["kith.log", "charon.log", "charon.err", "swanctl.err"]
            .map(read)
            .concat()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let programs = [self.kith.take(), self.charon.take()].into_iter().flatten();
        for mut child in programs.chain(self.others.drain(..)) {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in ["k", "r", "s"] {
            let _ = Command::new("ip")
                .args(["netns", "del", &format!("{}-{name}", self.prefix)])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// A folder for [`Proof::Certificates`], with keys of this kind.
pub fn certificates(at: &Path, algorithm: &'static rcgen::SignatureAlgorithm) -> Proof {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let key = || KeyPair::generate_for(algorithm).unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority
        .distinguished_name
        .push(rcgen::DnType::CommonName, "kith test CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, key()).unwrap();
    fs::write(at.join("ca.pem"), authority.pem()).unwrap();
    for name in ["kith", "swan"] {
        let own = key();
        let mut leaf = CertificateParams::new([format!("{name}.kith.example")]).unwrap();
        leaf.distinguished_name.push(rcgen::DnType::CommonName, name);
        let leaf = leaf.signed_by(&own, &authority).unwrap();
        fs::write(at.join(format!("{name}.pem")), leaf.pem()).unwrap();
        fs::write(at.join(format!("{name}.key")), own.serialize_pem()).unwrap();
    }
    Proof::Certificates(at.to_owned())
}

fn run(command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command}: {error}");
}
