//! Network namespaces that share a bridge, and links between them that can be cut. Packets on a link that is cut vanish,
//! as on a cable that was pulled out: no end is told.

use std::net::Ipv4Addr;
use std::process::{Command, id};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::process::{not_run, run};

/// An address that no machine has.
const NOWHERE: &str = "02:00:00:00:00:01";

/// Tells apart the networks of one process.
static NETWORKS: AtomicU8 = AtomicU8::new(0);

/// Some machines, each a network namespace. The test is on the bridge between them. Must be dropped after the processes
/// in it.
pub struct Network {
    /// The name of the bridge. Those of machines begin with it.
    name: String,
    /// The third number of each address.
    subnet: u8,
    machines: u8,
}

impl Network {
    /// Returns `None`, with a message, if this machine does not allow it.
    pub fn new(machines: u8) -> Option<Self> {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let subnet = (id() as u8).wrapping_mul(8).wrapping_add(number);
        let network = Self { name: format!("cx{}-{number}", id()), subnet, machines };
        if !network.set_up().iter().all(|words| network.try_ip(words)) {
            not_run("there is no iproute2, or this user may not make networks, so no link can be cut");
            return None;
        }
        Some(network)
    }

    /// The commands that make the network.
    fn set_up(&self) -> Vec<String> {
        let mut commands = vec![format!("link add {} type bridge", self.name)];
        commands
            .extend([self.test(), self.store()].map(|address| format!("address add {address}/24 dev {}", self.name)));
        commands.push(format!("link set {} up", self.name));
        for number in 0..self.machines {
            let (name, port, address) = (self.machine(number), self.port(number), self.address(number));
            commands.extend([
                format!("netns add {name}"),
                format!("link add {port} type veth peer name eth0 netns {name}"),
                format!("link set {port} master {} up", self.name),
                format!("-netns {name} address add {address}/24 dev eth0"),
                format!("-netns {name} link set eth0 up"),
                format!("-netns {name} link set lo up"),
            ]);
        }
        commands
    }

    /// The address of clients of the test.
    fn test(&self) -> Ipv4Addr {
        // A network for tests (RFC 2544).
        Ipv4Addr::new(198, 18, self.subnet, 1)
    }

    /// Another address of the test, for a store.
    pub fn store(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.subnet, 2)
    }

    pub fn address(&self, machine: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.subnet, 10 + machine)
    }

    /// The network namespace of a machine.
    pub fn machine(&self, machine: u8) -> String {
        format!("{}n{machine}", self.name)
    }

    fn port(&self, machine: u8) -> String {
        format!("{}v{machine}", self.name)
    }

    /// From now on, what a machine sends to an address vanishes.
    pub fn cut(&self, machine: u8, to: Ipv4Addr) {
        let name = self.machine(machine);
        self.ip(&format!("-netns {name} neighbour replace {to} lladdr {NOWHERE} dev eth0 nud permanent"));
    }

    /// Cuts the link of two machines in both directions.
    pub fn cut_between(&self, one: u8, other: u8) {
        self.cut(one, self.address(other));
        self.cut(other, self.address(one));
    }

    pub fn heal(&self) {
        for machine in 0..self.machines {
            let name = self.machine(machine);
            self.ip(&format!("-netns {name} neighbour flush dev eth0 nud permanent"));
        }
    }

    fn ip(&self, words: &str) {
        let mut command = Command::new("ip");
        run(command.args(words.split(' ')), "").ok();
    }

    fn try_ip(&self, words: &str) -> bool {
        Command::new("ip").args(words.split(' ')).output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A part may be missing if a test has failed early.
        for machine in 0..self.machines {
            self.try_ip(&format!("link delete {}", self.port(machine)));
            self.try_ip(&format!("netns delete {}", self.machine(machine)));
        }
        self.try_ip(&format!("link delete {}", self.name));
    }
}
