// Puts together what leaves; headers that came and are still valid leave where they stood.

control KithDeparser(
    packet_out pkt,
    in    headers_t hdr,
    in    metadata_t meta,
    in    pna_main_output_metadata_t ostd)
{
    apply {
        pkt.emit(hdr.packet_in);
        pkt.emit(hdr.ethernet);
        pkt.emit(hdr.bridge);
        pkt.emit(hdr.ipv4);
        pkt.emit(hdr.udp);
        pkt.emit(hdr.tcp);
        pkt.emit(hdr.mss);
        pkt.emit(hdr.shim);
        pkt.emit(hdr.inner);
        pkt.emit(hdr.esp);
    }
}
