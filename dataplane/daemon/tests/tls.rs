//! P4Runtime over TCP: mutual TLS or nothing.

mod common;

use common::controller::Controller;
use common::tls::{self, ADDRESS, Authority, files};
use common::{Lab, is_root};
use kith_p4runtime::client::Address;

#[test]
fn who_has_a_certificate_of_the_authority_gets_in_and_nobody_else() {
    if !is_root() {
        return;
    }
    let mut lab = Lab::new(1);
    let folder = lab.folder.path().to_owned();
    tls::serve(&mut lab).issue("controller", &folder);
    Authority::new("theirs", &folder).issue("stranger", &folder);
    let address = |files| Address::Tls(ADDRESS.into(), files);
    let good = address(files(&folder, "controller", "ours"));
    let strangers = [
        address(files(&folder, "stranger", "ours")),
        // It is not the dataplane that this one trusts.
        address(files(&folder, "controller", "theirs")),
        Address::Plain(ADDRESS.into()),
    ];
    let refused = lab.inside_dataplane(move || {
        let mut controller = Controller::to(&good, 5).unwrap();
        controller.act_as_director();
        strangers.map(|address| Controller::to(&address, 6).is_err())
    });
    assert_eq!(refused, [true; 3]);
    let status = lab.stats().status().unwrap();
    assert_eq!(
        status.endpoint,
        kith_api::stats::Endpoint::Director(common::DIRECTOR)
    );
}
