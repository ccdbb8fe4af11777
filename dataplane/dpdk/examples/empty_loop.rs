//! What the wrapper costs: cycles a packet for receive, touch, send over two `net_null` ports, one worker.
//!
//! `cargo run --release -p kith-dpdk --example empty_loop -- [seconds] [cpu]`
//!
//! Compare with DPDK's own forwarder on the same devices, one core and one stream each way:
//! `dpdk-testpmd -l 0,1 --no-huge -m 256 --no-pci --vdev=net_null0 --vdev=net_null1 -- --forward-mode=macswap --nb-cores=1
//! --stats-period=1`

use kith_dpdk::{Burst, Eal, EalConfig, HugePages, Mempool, MempoolConfig, Port, PortConfig, tsc, tsc_hz};
use std::error::Error;
use std::slice::from_ref;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let cpu = arguments.next().map(|text| text.parse()).transpose()?;

    let eal = Eal::init(EalConfig {
        huge_pages: HugePages::Auto,
        ..EalConfig::default()
    })?;
    let _worker = eal.register_thread(cpu)?;
    let pool = Mempool::new(
        &eal,
        "empty-loop",
        &MempoolConfig {
            mbufs: 32767,
            ..MempoolConfig::default()
        },
    )?;
    let mut ports = Vec::new();
    let mut queues = Vec::new();
    for device in ["net_null0", "net_null1"] {
        let mut port = Port::open(&eal, &PortConfig::new(device), from_ref(&pool))?;
        queues.extend(
            port.take_queues()
                .and_then(|mut queues| Some((queues.rx.pop()?, queues.tx.pop()?))),
        );
        ports.push(port);
    }
    let [(rx0, tx0), (rx1, tx1)] = queues.as_mut_slice() else {
        return Err("two ports have two queue pairs".into());
    };

    println!("memory from huge pages: {}", eal.uses_huge_pages());
    for touch in [false, true] {
        let mut burst = Burst::new();
        // Cycles a packet of each slice of 256 rounds. The median is not moved by slices in which another process ran.
        let mut slices = Vec::with_capacity(1 << 20);
        let mut sum = 0u64;
        let end = tsc() + seconds * tsc_hz() / 2;
        let mut total = 0u64;
        let cpu_before = cpu_nanoseconds()?;
        let mut before = tsc();
        while before < end {
            let mut packets = 0u64;
            for _ in 0..256 {
                for (rx, tx) in [(&mut *rx0, &mut *tx1), (&mut *rx1, &mut *tx0)] {
                    rx.rx_burst(&mut burst);
                    if touch {
                        for mbuf in burst.as_mut_slice() {
                            if let Some(first) = mbuf.bytes_mut().first_mut() {
                                *first = first.wrapping_add(1);
                                sum = sum.wrapping_add(u64::from(*first));
                            }
                        }
                    }
                    packets += tx.tx_burst(&mut burst) as u64;
                }
            }
            total += packets;
            let now = tsc();
            slices.push((now - before) as f64 / packets as f64);
            before = now;
        }
        let cpu_cycles = (cpu_nanoseconds()? - cpu_before) as f64 * tsc_hz() as f64 / 1e9 / total as f64;
        slices.sort_by(f64::total_cmp);
        let (median, least) = (slices[slices.len() / 2], slices[0]);
        let what = if touch {
            "receive, touch, send"
        } else {
            "receive, send"
        };
        let rate = tsc_hz() as f64 / median / 1e6;
        println!(
            "{what:20} by CPU time {cpu_cycles:.1}, median {median:.1}, least {least:.1} cycles a packet, {rate:.1} Mpps ({sum:x})"
        );
    }
    Ok(())
}

/// How long this thread has been running on a CPU: leaves out the time that other processes took. Comparable with what
/// /proc says of testpmd's worker thread.
fn cpu_nanoseconds() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}
