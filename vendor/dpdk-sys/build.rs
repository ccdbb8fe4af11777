//! Finds libdpdk, translates the headers, and compiles the static inlines into callable functions.

use std::env;
use std::path::PathBuf;
use std::process::exit;

/// The oldest DPDK whose API the bindings are written for (Debian 12).
const OLDEST: &str = "22.11";

/// Everything the wrapper crate calls, and no more: exported functions first, then static inlines.
const FUNCTIONS: &[&str] = &[
    "rte_eal_init",
    "rte_eal_cleanup",
    "rte_version",
    "rte_socket_id",
    "rte_thread_register",
    "rte_thread_unregister",
    "rte_get_tsc_hz",
    "rte_dev_probe",
    "rte_dev_remove",
    "rte_pktmbuf_pool_create",
    "rte_pktmbuf_free_bulk",
    "rte_mempool_free",
    "rte_mempool_avail_count",
    "rte_ring_create",
    "rte_ring_free",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_info_get",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_configure",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_rx_queue_setup",
    "rte_eth_tx_queue_setup",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_dev_close",
    "rte_eth_promiscuous_enable",
    "rte_eth_promiscuous_get",
    "rte_eth_macaddr_get",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_set_mtu",
    "rte_eth_stats_get",
    "rte_eth_stats_reset",
    "rte_eth_xstats_get",
    "rte_eth_xstats_get_names",
    // The software pipeline (SWX), all of it marked experimental in 22.11.
    "rte_swx_pipeline_config",
    "rte_swx_pipeline_free",
    "rte_swx_pipeline_port_in_type_register",
    "rte_swx_pipeline_port_in_config",
    "rte_swx_pipeline_port_out_type_register",
    "rte_swx_pipeline_port_out_config",
    "rte_swx_pipeline_struct_type_register",
    "rte_swx_pipeline_packet_header_register",
    "rte_swx_pipeline_packet_metadata_register",
    "rte_swx_pipeline_action_config",
    "rte_swx_pipeline_table_config",
    "rte_swx_pipeline_selector_config",
    "rte_swx_pipeline_learner_config",
    "rte_swx_pipeline_regarray_config",
    "rte_swx_pipeline_metarray_config",
    "rte_swx_pipeline_instructions_config",
    "rte_swx_pipeline_build",
    "rte_swx_pipeline_run",
    "rte_swx_ctl_pipeline_info_get",
    "rte_swx_ctl_action_arg_info_get",
    "rte_swx_ctl_table_ops_get",
    "rte_swx_pipeline_table_state_get",
    "rte_swx_ctl_table_match_field_info_get",
    "rte_swx_ctl_pipeline_create",
    "rte_swx_ctl_pipeline_free",
    "rte_swx_ctl_pipeline_table_entry_add",
    "rte_swx_ctl_pipeline_table_entry_delete",
    "rte_swx_ctl_pipeline_table_default_entry_add",
    "rte_swx_ctl_pipeline_commit",
    "rte_swx_ctl_pipeline_abort",
    "rte_swx_ctl_pipeline_table_stats_read",
    "rte_swx_ctl_pipeline_regarray_read",
    "rte_swx_ctl_pipeline_regarray_write",
    "rte_swx_ctl_pipeline_regarray_read_with_key",
    "rte_swx_ctl_pipeline_regarray_write_with_key",
    "rte_swx_ctl_meter_profile_add",
    "rte_swx_ctl_meter_reset",
    "rte_swx_ctl_meter_set",
    "rte_swx_ctl_meter_reset_with_key",
    "rte_swx_ctl_meter_set_with_key",
    // Static inlines.
    "dpdk_sys_errno",
    "dpdk_sys_link_get_nowait",
    "rte_lcore_id",
    "rte_rdtsc",
    "rte_pktmbuf_alloc",
    "rte_pktmbuf_alloc_bulk",
    "rte_pktmbuf_free",
    "rte_eth_rx_burst",
    "rte_eth_tx_burst",
    "rte_eth_tx_prepare",
    "rte_ring_sp_enqueue_burst",
    "rte_ring_sc_dequeue_burst",
    "rte_ring_count",
    "rte_ring_free_count",
    "rte_ring_get_capacity",
];

fn main() {
    println!("cargo:rerun-if-changed=wrapper.h");
    println!("cargo:rerun-if-changed=probe.c");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBCLANG_PATH");

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // pkg-config also tells cargo what to link; rustc links as needed, so only the libraries used remain.
    if let Err(reason) = pkg_config::Config::new().atleast_version(OLDEST).probe("libdpdk") {
        eprintln!(
            "dpdk-sys needs DPDK {OLDEST} or newer with its development files, and pkg-config cannot find it.\n\
             On Debian and Ubuntu: apt-get install libdpdk-dev pkg-config\n\
             Elsewhere: build DPDK and set PKG_CONFIG_PATH to the folder of libdpdk.pc.\n\n{reason}"
        );
        exit(1);
    }
    let cflags = cflags();
    translate(&cflags, &out);

    // The wrappers' C file includes the header by the name given to bindgen, relative to this folder.
    let mut shim = cc::Build::new();
    shim.file(out.join("inlines.c"))
        .file("probe.c")
        .include(".")
        .opt_level(3)
        .warnings(false);
    for flag in &cflags {
        shim.flag(flag);
    }
    shim.compile("dpdk_sys_inlines");
}

/// All of libdpdk's compiler flags, `-include rte_config.h` and `-march` with them: the inlines are
/// written for exactly these. (The pkg-config crate's own parser keeps only include paths and defines.)
fn cflags() -> Vec<String> {
    let pkg_config = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = std::process::Command::new(pkg_config)
        .args(["--cflags", "libdpdk"])
        .output()
        .expect("pkg-config ran a moment ago");
    let text = String::from_utf8(output.stdout).expect("pkg-config prints UTF-8");
    text.split_whitespace().map(str::to_owned).collect()
}

/// Writes `bindings.rs` and `inlines.c` to `out`.
fn translate(cflags: &[String], out: &std::path::Path) {
    let mut builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(cflags)
        .wrap_static_fns(true)
        .wrap_static_fns_path(out.join("inlines.c"))
        .allowlist_recursively(true)
        .allowlist_var("DPDK_.*")
        .allowlist_var("RTE_(MAX_LCORE|MAX_ETHPORTS|PKTMBUF_HEADROOM|MBUF_DEFAULT_BUF_SIZE)")
        .allowlist_var("RTE_ETH_XSTATS_NAME_SIZE|LCORE_ID_ANY|SOCKET_ID_ANY")
        .allowlist_var("RING_F_.*")
        .allowlist_type(
            "dpdk_sys_mbuf|rte_ether_addr|rte_eth_(conf|dev_info|stats|xstat|xstat_name|rxconf|txconf)",
        )
        // Handles: only their addresses are used.
        .opaque_type("rte_mbuf|rte_mempool|rte_ring|rte_device")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_default(true)
        .derive_debug(false)
        .layout_tests(true)
        .generate_comments(false)
        .use_core()
        .formatter(bindgen::Formatter::None);
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    let bindings = builder.generate().unwrap_or_else(|reason| {
        eprintln!(
            "bindgen cannot translate DPDK's headers (libclang is in Debian's libclang-dev; \
             LIBCLANG_PATH points to another): {reason}"
        );
        exit(1);
    });
    bindings
        .write_to_file(out.join("bindings.rs"))
        .expect("OUT_DIR can be written");
}
