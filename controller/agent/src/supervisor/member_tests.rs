//! A membership at work against a manager behind real TLS; orders go to the test instead of a datapath.

use super::*;
use crate::manager::Credentials;
use crate::manager::fake::{self, FQDN, OWN};
use crate::manager::fake_server::{Served, serve};
use crate::manager::membership::{Network, Settings};
use crate::manager::request::Call;
use crate::orders::Report;
use std::net::Ipv4Addr;
use std::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

struct World {
    manager: Served,
    orders: Receiver<Order>,
    sender: mpsc::Sender<Message>,
    zones: Zones,
    work: JoinHandle<Ending>,
    _folder: tempfile::TempDir,
}

fn start() -> World {
    let manager = serve();
    let (me, _) = Credentials::take(fake::registration(&["unused.example"]), fake::identity()).unwrap();
    let settings = Settings {
        udp_port: 20_202,
        site: String::new(),
        platform: "test".into(),
        program: "test".into(),
        computer: "TEST".into(),
    };
    let machine = Membership::new(
        me,
        (vec![manager.manager()], 1),
        settings,
        Box::new(crate::entropy::fill),
    );
    let (orders, ordered) = sync_channel(ORDERS);
    let (sender, inbox) = mpsc::channel(INBOX);
    let folder = tempfile::tempdir().unwrap();
    let zones = Zones::default();
    let member = Member {
        fqdn: Fqdn::parse(FQDN).unwrap(),
        community: "acme.example".into(),
        machine,
        state: State::at(folder.path()),
        tun: "kith-none".into(),
        orders,
        sender: sender.clone(),
        inbox,
        zones: zones.clone(),
        news: mpsc::channel(1).0,
    };
    let work = tokio::spawn(member.run());
    World {
        manager,
        orders: ordered,
        sender,
        zones,
        work,
        _folder: folder,
    }
}

impl World {
    async fn attached() -> Self {
        let world = start();
        let network = Network {
            local: Ipv4Addr::LOCALHOST,
            lans: Vec::new(),
        };
        world
            .sender
            .send(Message::Input(Input::Network(Some(network))))
            .await
            .unwrap();
        world
    }

    async fn order(&self) -> Order {
        for _ in 0..500 {
            if let Ok(order) = self.orders.try_recv() {
                return order;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no order in five seconds");
    }

    fn calls(&self) -> Vec<Call> {
        self.manager.fake.lock().unwrap().calls.clone()
    }
}

#[tokio::test]
async fn it_joins_over_the_network_is_known_to_dns_and_leaves() {
    let world = World::attached().await;
    assert!(matches!(world.order().await, Order::Joined(joined) if joined.address == OWN));
    assert!(matches!(world.order().await, Order::Policy(_)));
    assert!(matches!(world.order().await, Order::Channel(_)));
    let zone = world.zones.of_name("printer.acme.example").expect("known to DNS");
    assert_eq!((zone.own, zone.manager), (OWN, fake::MANAGER));
    world.sender.send(Message::Input(Input::Leave)).await.unwrap();
    assert!(matches!(world.order().await, Order::Out));
    assert!(matches!(world.order().await, Order::NoDirector));
    let calls = world.calls();
    assert_eq!(world.work.await.unwrap(), Ending::Left);
    assert!(world.zones.all().is_empty());
    assert!(world.orders.recv().is_err(), "nobody gives orders any more");
    assert_eq!(calls, [Call::Init, Call::Join, Call::Leave]);
}

#[tokio::test]
async fn dns_is_answered_only_after_the_member_it_found_is_in_force() {
    let world = World::attached().await;
    for _ in 0..3 {
        world.order().await;
    }
    let now = clock::wall_nanos() / 1_000_000;
    let peer = world
        .manager
        .fake
        .lock()
        .unwrap()
        .peer(now, Ipv4Addr::new(10, 77, 0, 3), 1);
    let zone = world.zones.of_name("m3.acme.example").unwrap();
    let mut found = tokio::spawn(async move { zone.found(peer).await });
    assert!(matches!(world.order().await, Order::Peer(peer) if peer.fqdn == "m3.acme.example"));
    let Order::Barrier(in_force) = world.order().await else {
        panic!("a barrier behind the member")
    };
    assert!(
        tokio::time::timeout(Duration::from_millis(100), &mut found)
            .await
            .is_err(),
        "not before"
    );
    in_force.send(()).unwrap();
    found.await.unwrap();
}

#[tokio::test]
async fn packets_to_somebody_unknown_lead_to_a_question() {
    let world = World::attached().await;
    for _ in 0..3 {
        world.order().await;
    }
    let report = Report::NeedPeer(Ipv4Addr::new(10, 77, 0, 9));
    world
        .sender
        .send(Message::Input(Input::Report(report)))
        .await
        .unwrap();
    assert!(matches!(world.order().await, Order::Peer(peer) if peer.fqdn == "m9.acme.example"));
    assert_eq!(world.calls().last(), Some(&Call::Locate));
}

#[tokio::test]
async fn a_datapath_that_ends_ends_the_membership() {
    let World {
        manager,
        orders,
        sender,
        zones,
        work,
        _folder,
    } = World::attached().await;
    while zones.all().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(orders);
    let report = Report::NeedPeer(Ipv4Addr::new(10, 77, 0, 9));
    sender.send(Message::Input(Input::Report(report))).await.unwrap();
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(5), work)
            .await
            .unwrap()
            .unwrap(),
        Ending::Left
    );
    assert_eq!(manager.fake.lock().unwrap().calls.last(), Some(&Call::Leave));
}

#[tokio::test]
async fn another_address_or_way_out_is_said_to_the_datapath_before_anything_else() {
    let world = World::attached().await;
    while !matches!(world.order().await, Order::Channel(_)) {}
    let network = Network {
        local: Ipv4Addr::new(127, 0, 0, 9),
        lans: Vec::new(),
    };
    let message = Message::Input(Input::Network(Some(network)));
    world.sender.send(message).await.unwrap();
    assert!(matches!(world.order().await, Order::Roamed));
    // With a public address it is joined anew.
    while !matches!(world.order().await, Order::Channel(_)) {}
    world.sender.send(Message::Rerouted).await.unwrap();
    assert!(matches!(world.order().await, Order::Roamed));
}
