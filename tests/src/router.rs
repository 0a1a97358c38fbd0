//! A router in this process, for networks of more than one place on one machine: delay, jitter, loss, rate and NAT of
//! every link, changed while packets flow.
//!
//! In go names; out come network namespaces ([`Site`]), each with one TUN device whose packets pass by here. Commands
//! run inside a place and see a network of many hosts. What a link does to a packet is [`line`]'s, what NAT does is
//! [`nat`]'s, both pure; [`forward`] moves the packets. It needs the right to make namespaces, for which
//! [`permitted`] asks.

use std::{
    ffi::OsStr,
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    process::Command,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tappers::{Interface, Tun};
use tokio::{io::unix::AsyncFd, runtime::Runtime, sync::mpsc};

mod forward;
mod igd;
pub mod line;
pub mod nat;
pub mod packet;

pub use forward::Passed;
use forward::{FromSite, Plumbing, Port};
use line::LineState;
pub use line::Link;

/// Bytes of a packet at most, as on most lines.
const MTU: usize = 1_500;
/// Places of one router.
const PLACES: u8 = 200;
/// The first part of all addresses: one that counts as public, and that nobody has whom a test needs.
const FIRST: u8 = 11;
/// The outer port that routers of homes give to nobody ([`Router::answer_upnp`]).
const TAKEN: u16 = 4_001;
/// How long the devices of a router that was dropped may take to close.
const RELEASE: Duration = Duration::from_secs(10);

/// A router, and the places that it joins. They end with it.
#[derive(Debug)]
pub struct Router {
    name: String,
    network: u8,
    plumbing: Arc<Mutex<Plumbing>>,
    packets: mpsc::Sender<FromSite>,
    runtime: Option<Runtime>,
    namespaces: Vec<String>,
}

/// A host of its own: a network namespace, or this process's own network ([`Router::here`]).
#[derive(Clone, Debug)]
pub struct Site {
    namespace: Option<String>,
    /// Its address, as the others reach it; for one behind NAT, the NAT's.
    pub address: Ipv4Addr,
    /// Its address of IPv6; nothing behind NAT is reached by it.
    pub address_v6: Ipv6Addr,
    index: usize,
}

/// Whether this machine permits routers: what fails after this is a failure.
///
/// # Errors
/// What is missing.
pub fn permitted() -> Result<(), String> {
    // Tests of one process may ask concurrently, and a namespace has one name.
    static PROBED: OnceLock<Result<(), String>> = OnceLock::new();
    PROBED.get_or_init(|| probe().map_err(|error| format!("{error:#}"))).clone()
}

fn probe() -> Result<()> {
    ensure!(Path::new("/dev/net/tun").exists(), "this system has no TUN devices");
    let name = format!("ost-probe-{}", std::process::id());
    ip(&["netns", "add", &name])?;
    ip(&["netns", "del", &name])
}

impl Router {
    /// A router without places; `name` tells its namespaces from those of others on this machine, and `network` its
    /// addresses: 11.`network`.x.1 and fd00:`network`::x.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new(name: &str, network: u8) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let name = format!("{name}-{}-{network}", std::process::id());
        let (plumbing, (packets, read)) = (Arc::default(), mpsc::channel(forward::READ));
        runtime.spawn(forward::pump(Arc::clone(&plumbing), read));
        Ok(Self { name, network, plumbing, packets, runtime: Some(runtime), namespaces: Vec::new() })
    }

    /// Makes a place with a perfect link.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn place(&mut self, name: &str) -> Result<Site> {
        self.add(name, false)
    }

    /// Joins this process's own network as a place, from which the others are reached.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn here(&mut self) -> Result<Site> {
        let (index, address, address_v6) = self.next()?;
        let device = self.device(index);
        let tun = self.tun(&device)?;
        ip(&["link", "set", "dev", &device, "mtu", &MTU.to_string(), "up"])?;
        ip(&["addr", "add", &format!("{address}/32"), "dev", &device])?;
        ip(&[
            "route",
            "add",
            &format!("{FIRST}.{}.0.0/16", self.network),
            "dev",
            &device,
            "src",
            &address.to_string(),
        ])?;
        let site = Site { namespace: None, address, address_v6, index };
        self.join(site.clone(), tun, address);
        Ok(site)
    }

    /// As [`Router::place`], behind a port-restricted NAT of its own: others reach it only where it spoke first.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn place_behind_nat(&mut self, name: &str) -> Result<Site> {
        self.add(name, true)
    }

    /// Changes the link of a place, from the next packet on.
    pub fn set(&self, place: &Site, link: Link) {
        let mut plumbing = self.plumbing.lock().unwrap_or_else(PoisonError::into_inner);
        plumbing.ports[place.index].set(link);
    }

    /// Replaces the NAT of a place by one of this kind.
    pub fn set_nat(&self, place: &Site, kind: nat::Kind) {
        let mut plumbing = self.plumbing.lock().unwrap_or_else(PoisonError::into_inner);
        plumbing.ports[place.index].translate(kind);
    }

    /// Has the router of a place behind NAT answer UPnP from now on, on a local network that the two share: it opens
    /// any port but 4001, which another host of the home is to have.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn answer_upnp(&mut self, place: &Site) -> Result<()> {
        let [_, _, number, _] = place.address.octets();
        let (own, host) = (Ipv4Addr::new(192, 168, number, 1), Ipv4Addr::new(192, 168, number, 2).to_string());
        let inside = place.namespace.as_deref().context("a place of its own")?;
        let (namespace, device) = (format!("{inside}-igd"), self.device(place.index) + "l");
        ip(&["netns", "add", &namespace])?;
        self.namespaces.push(namespace.clone());
        let line = ["type", "veth", "peer", "name", "lan", "netns", &namespace];
        ip(&[&["link", "add", &device, "netns", inside][..], &line].concat())?;
        ip(&["-n", &namespace, "addr", "add", &format!("{own}/24"), "dev", "lan"])?;
        ip(&["-n", &namespace, "link", "set", "dev", "lan", "up"])?;
        ip(&["-n", inside, "link", "set", "dev", &device, "up"])?;
        ip(&["-n", inside, "route", "add", &own.to_string(), "dev", &device, "src", &host])?;
        // By another metric: Linux would take the two for one, and all that goes there for multicast.
        ip(&["-n", inside, "route", "add", "239.255.255.250", "dev", &device, "src", &host, "metric", "1"])?;
        let (sockets, plumbing, index) = (igd::sockets(&namespace, own)?, Arc::clone(&self.plumbing), place.index);
        let ports = move |outer, inner| {
            let mut plumbing = plumbing.lock().unwrap_or_else(PoisonError::into_inner);
            plumbing.ports[index].forward(outer, inner);
        };
        let runtime = self.runtime.as_ref().context("a router runs until it is dropped")?;
        runtime.spawn(igd::serve(sockets, place.address, Box::new(ports)));
        Ok(())
    }

    /// How many ports the NAT of a place forwards.
    pub fn forwarded(&self, place: &Site) -> usize {
        self.plumbing.lock().unwrap_or_else(PoisonError::into_inner).ports[place.index].forwarded()
    }

    /// What a place sent and was handed since this was last asked, but for mere acknowledgements: empty at first.
    pub fn passed(&self, place: &Site) -> Vec<Passed> {
        self.plumbing.lock().unwrap_or_else(PoisonError::into_inner).ports[place.index].record()
    }

    /// Packets that links have dropped so far: lost at random, over the bound of a queue, or while a link was down.
    pub fn dropped(&self) -> u64 {
        self.plumbing.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }

    fn add(&mut self, name: &str, is_behind_nat: bool) -> Result<Site> {
        let (index, address, address_v6) = self.next()?;
        let [_, _, number, _] = address.octets();
        let inner = if is_behind_nat { Ipv4Addr::new(192, 168, number, 2) } else { address };
        let namespace = format!("{}-{name}", self.name);
        ip(&["netns", "add", &namespace])?;
        // From here on it is removed with the router.
        self.namespaces.push(namespace.clone());
        let device = self.device(index);
        let tun = self.tun(&device)?;
        ip(&["link", "set", "dev", &device, "netns", &namespace])?;
        let inside = |args: &[&str]| ip(&[&["-n", namespace.as_str()], args].concat());
        inside(&["link", "set", "dev", "lo", "up"])?;
        inside(&["link", "set", "dev", &device, "mtu", &MTU.to_string(), "up"])?;
        inside(&["addr", "add", &format!("{inner}/32"), "dev", &device])?;
        inside(&["route", "add", "default", "dev", &device, "src", &inner.to_string()])?;
        // Not where the kernel has no IPv6: then the place is one without.
        let _none = inside(&["-6", "addr", "add", &format!("{address_v6}/128"), "dev", &device, "nodad"])
            .and_then(|()| inside(&["-6", "route", "add", "default", "dev", &device]));
        let site = Site { namespace: Some(namespace), address, address_v6, index };
        self.join(site.clone(), tun, inner);
        Ok(site)
    }

    /// The number and the addresses of the next place.
    fn next(&self) -> Result<(usize, Ipv4Addr, Ipv6Addr)> {
        let index = self.plumbing.lock().unwrap_or_else(PoisonError::into_inner).ports.len();
        let number = u8::try_from(index + 1).ok().filter(|number| *number <= PLACES).context("too many places")?;
        let address_v6 = Ipv6Addr::new(0xfd00, self.network.into(), 0, 0, 0, 0, 0, number.into());
        Ok((index, Ipv4Addr::new(FIRST, self.network, number, 1), address_v6))
    }

    /// The name of a device: at most 15 bytes.
    fn device(&self, index: usize) -> String {
        format!("ot{}n{}p{index}", std::process::id() % 100_000, self.network)
    }

    fn tun(&self, device: &str) -> Result<Arc<AsyncFd<Tun>>> {
        let runtime = self.runtime.as_ref().context("a router runs until it is dropped")?;
        let deadline = Instant::now() + RELEASE;
        let mut tun = loop {
            match Tun::new_named(Interface::new(device)?) {
                // A router before this one closes its devices in the background.
                Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(50));
                }
                made => break made.context("cannot make a TUN device")?,
            }
        };
        tun.set_nonblocking(true)?;
        let _inside = runtime.enter();
        #[expect(deprecated, reason = "its successor is unsafe code, and a TUN device keeps its file while it lives")]
        let tun = AsyncFd::new(tun)?;
        Ok(Arc::new(tun))
    }

    fn join(&self, site: Site, tun: Arc<AsyncFd<Tun>>, inner: Ipv4Addr) {
        let seed = u64::try_from(site.index).expect("few places");
        let port = Port::new(Arc::clone(&tun), (site.address, site.address_v6), inner, LineState::seeded(seed));
        self.plumbing.lock().unwrap_or_else(PoisonError::into_inner).ports.push(port);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(forward::read(tun, site.index, self.packets.clone()));
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // The devices close with the tasks that read them.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        for namespace in &self.namespaces {
            // A namespace whose processes still end is gone with the last of them.
            let _gone = ip(&["netns", "del", namespace]);
        }
    }
}

impl Site {
    /// `program`, to be run in this place.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(namespace) = &self.namespace else { return Command::new(program) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        command
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let ran = Command::new("ip").args(args).output().context("cannot run `ip`, of iproute2")?;
    if ran.status.success() {
        return Ok(());
    }
    bail!("`ip {}` failed: {}", args.join(" "), String::from_utf8_lossy(&ran.stderr).trim())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    /// A router, a place and this process's own; nothing, with the reason printed, where this machine permits none.
    #[expect(clippy::print_stderr, reason = "a test that is skipped must report it")]
    fn router(network: u8, is_behind_nat: bool) -> Option<(Router, Site, Site)> {
        permitted().inspect_err(|missing| eprintln!("skipped: no namespaces here: {missing}")).ok()?;
        let mut router = Router::new("ost-test", network).expect("a router");
        let there = if is_behind_nat { router.place_behind_nat("there") } else { router.place("there") };
        let (there, here) = (there.expect("a place"), router.here().expect("this place"));
        Some((router, there, here))
    }

    /// How long it takes `there` to connect with `here`, send a byte and get it back.
    fn round_trips(there: &Site, here: &Site) -> Duration {
        let listener = TcpListener::bind((here.address, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let echo = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("read");
            stream.write_all(&byte).expect("written");
        });
        let script = format!("exec 3<>/dev/tcp/{}/{port}; printf x >&3; head -c 1 <&3", here.address);
        let since = Instant::now();
        let ran = there.command("bash").args(["-c", &script]).output().expect("bash");
        let took = since.elapsed();
        assert_eq!(ran.stdout, b"x", "{}", String::from_utf8_lossy(&ran.stderr));
        echo.join().expect("no panic");
        took
    }

    #[test]
    fn a_byte_takes_as_long_as_the_links_say() {
        let Some((router, there, here)) = router(201, false) else { return };
        let slow = Link { delay: Duration::from_millis(25), ..Link::default() };
        router.set(&there, slow);
        router.set(&here, slow);
        // To connect takes one round trip, the byte another.
        let took = round_trips(&there, &here);
        assert!(took >= Duration::from_millis(200), "{took:?}");
    }

    #[test]
    fn a_place_behind_nat_reaches_others() {
        let Some((_router, there, here)) = router(202, true) else { return };
        round_trips(&there, &here);
    }

    #[test]
    fn the_router_of_a_home_opens_a_port_and_closes_it() {
        let Some((mut router, there, _here)) = router(203, true) else { return };
        router.answer_upnp(&there).expect("it answers");
        let ask = |port: u16, inner: &str| {
            let body = format!("<NewExternalPort>{port}</NewExternalPort>{inner}</Envelope>");
            let script =
                format!("exec 3<>/dev/tcp/192.168.1.1/5000; printf 'POST / HTTP/1.1\\r\\n\\r\\n{body}' >&3; cat <&3");
            let ran = there.command("bash").args(["-c", &script]).output().expect("bash");
            format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
        };
        let inner = "<NewInternalPort>9</NewInternalPort>";
        for (port, inner, answer, forwarded) in
            [(7, inner, "200 OK", 1), (TAKEN, inner, "500 Error", 1), (7, "", "200 OK", 0)]
        {
            let told = ask(port, inner);
            assert!(told.contains(answer) && router.forwarded(&there) == forwarded, "{port} {inner}: {told}");
        }
    }
}
