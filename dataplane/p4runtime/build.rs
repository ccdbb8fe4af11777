//! Builds the messages from `proto/` and the constants from the compiled P4 program's P4Info.
//!
//! Nothing is installed for it: protox reads the .proto files, prost-reflect the P4Info's text. `ids.rs` holds a constant for
//! every id of the P4Info and `p4info.bin` the P4Info itself, as the service returns it.

#[path = "build/ids.rs"]
mod ids;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use std::error::Error;
use std::path::PathBuf;

const P4INFO: &str = "../../p4/compiled/kith.p4info.txt";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed={P4INFO}");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);

    let files = protox::compile(["p4/v1/p4runtime.proto", "kith/v1/association.proto"], ["proto"])?;
    tonic_prost_build::configure()
        // These two can hold keys: `proto::secret` prints them without.
        .skip_debug(["p4.v1.ExternEntry", "kith.v1.SecurityAssociation"])
        .compile_fds(files.clone())?;

    let pool = DescriptorPool::from_file_descriptor_set(files)?;
    let kind = pool
        .get_message_by_name("p4.config.v1.P4Info")
        .ok_or("proto/ has no p4.config.v1.P4Info")?;
    let text = std::fs::read_to_string(P4INFO).map_err(|error| format!("{P4INFO}: {error}"))?;
    let info =
        DynamicMessage::parse_text_format(kind, &text).map_err(|error| format!("{P4INFO}: {error}"))?;
    std::fs::write(out.join("p4info.bin"), info.encode_to_vec())?;
    std::fs::write(out.join("ids.rs"), ids::generate(&info)?)?;
    Ok(())
}
