//! Builds the messages from `proto/`; nothing is installed for it.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(
        ["member.proto", "records.proto", "admin.proto", "director.proto"],
        ["proto"],
    )?;
    // Some hold secrets: they get no `Debug` by accident.
    let secret = [
        "member.v1.RegistrationFile",
        "member.v1.Director",
        "member.v1.InitAck",
        "member.v1.InitAnswer",
        "store.v1.Community",
        "store.v1.Member",
        "store.v1.Registering",
        "store.v1.Session",
        "store.v1.Credential",
        "store.v1.Identity",
        "admin.v1.Invitation",
        "admin.v1.Invitations",
        "admin.v1.ApplyAnswer",
        "admin.v1.NewCredential",
        "admin.v1.Chunk",
        "director.v1.Grant",
        "director.v1.GrantPage",
        "director.v1.Change",
        "director.v1.DirectorOrder",
    ];
    let mut builder = tonic_prost_build::configure();
    builder = builder.skip_debug(secret.map(|name| format!(".kith.{name}")));
    builder.compile_fds(files)?;
    Ok(())
}
