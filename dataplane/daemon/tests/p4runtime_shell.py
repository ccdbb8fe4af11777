"""p4runtime-shell, as it comes, against a running kith-dataplane.

    p4runtime_shell.py ADDRESS DEVICE_ID ALICE_PORT BOB_PORT AUTHORITY CERTIFICATE KEY

Speaks with the test that started it: says `written` when alice may send to bob, waits for a line that says how many packets
bob got and of how many IPv4 octets each, and says `done` when all that it looked at was right.
"""

import sys

import grpc
import p4runtime_sh.shell as shell
from google.rpc import code_pb2
from p4runtime_sh.context import P4Type
from p4runtime_sh.p4runtime import P4RuntimeClient, P4RuntimeWriteException, SSLOptions
from p4.v1 import p4runtime_pb2

DIRECTOR, ALICE, BOB = "203.0.113.10", "203.0.113.21", "203.0.113.22"
ALICE_PSEUDO, BOB_PSEUDO = "240.0.0.1", "240.0.0.2"


def entry(table, key, action, **parameters):
    """An entry, not written yet."""
    made = shell.TableEntry(table)(action=action)
    for field, value in key.items():
        made.match[field] = value
    for name, value in parameters.items():
        made.action[name] = value
    return made


def refused(write, code):
    """The write must fail, for this reason."""
    try:
        write()
    except P4RuntimeWriteException as error:
        codes = [one.canonical_code for _, one in error.errors]
        assert codes == [code], error
    else:
        raise AssertionError("the write was accepted")


def entries(table):
    """All entries of a table."""
    return list(shell.TableEntry(table).read())


def list_tables():
    names = {table.name for table in shell.P4Objects(P4Type.table)}
    assert {"endpoint", "sender", "session", "policy", "route", "neighbor", "egress_port"} <= names, names
    # What the configuration says of the link is there to read.
    assert len(entries("egress_port")) == 1 and len(entries("ingress_port")) == 1
    assert any(route.action.action_name == "on_link" for route in entries("route"))


def insert(alice_port, bob_port):
    endpoint = shell.TableEntry("endpoint")(action="act_as_director")
    endpoint.is_default = True
    endpoint.action["address"] = DIRECTOR
    endpoint.action["udp_port"] = "20202"
    endpoint.modify()

    where = {"address": ALICE, "port": alice_port, "community": "1"}
    sender = entry("sender", {"source_member": ALICE_PSEUDO}, "authorise", **where)
    sender.insert()
    refused(sender.insert, code_pb2.ALREADY_EXISTS)

    session = entry("session", {"destination_member": BOB_PSEUDO}, "relay_to",
                    address=BOB, port=bob_port, community="1", mtu="1400")
    refused(session.modify, code_pb2.NOT_FOUND)
    session.insert()

    outside = entry("session", {"destination_member": "10.0.0.1"}, "relay_to",
                    address=BOB, port=bob_port, community="1", mtu="1400")
    refused(outside.insert, code_pb2.OUT_OF_RANGE)


def modify(bob_port):
    session = entry("session", {"destination_member": BOB_PSEUDO}, "relay_to",
                    address=BOB, port=bob_port, community="1", mtu="1500")
    session.modify()
    (read,) = entries("session")
    assert read.action["mtu"].value == (1500).to_bytes(2, "big"), read


def read_counters(packets, octets):
    session = shell.TableEntry("session")
    session.match["destination_member"] = BOB_PSEUDO
    session.counter_data  # asks for it
    (read,) = session.read()
    counted = (read.counter_data.packet_count, read.counter_data.byte_count)
    assert counted == (packets, packets * octets), counted

    (direct,) = shell.DirectCounterEntry("KithControl.relay.session_counter").read()
    assert direct.packet_count == packets, direct

    drops = {drop.index: drop.packet_count for drop in shell.CounterEntry("drops").read()}
    assert len(drops) == 58, drops


def second_client(address, device_id, tls):
    """A lower election id: it reads, and may not write."""
    backup = P4RuntimeClient(device_id, address, (0, 1), ssl_options=tls)
    try:
        update = p4runtime_pb2.Update(type=p4runtime_pb2.Update.DELETE)
        update.entity.table_entry.CopyFrom(entries("session")[0].msg())
        try:
            backup.write_update(update)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.PERMISSION_DENIED, error
        else:
            raise AssertionError("a backup wrote")
        assert len(backup.get_p4info().tables) == 14
    finally:
        backup.tear_down()
    assert len(entries("session")) == 1


def delete():
    for table in ("sender", "session"):
        for there in entries(table):
            there.delete()
        assert entries(table) == []
    refused(entry("sender", {"source_member": ALICE_PSEUDO}, "authorise",
                  address=ALICE, port="1", community="1").delete, code_pb2.NOT_FOUND)


def main():
    address, device_id, alice_port, bob_port = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    tls = SSLOptions(False, *sys.argv[5:8])
    shell.setup(device_id=device_id, grpc_addr=address, election_id=(0, 10), ssl_options=tls, verbose=False)
    try:
        list_tables()
        insert(alice_port, bob_port)
        modify(bob_port)
        print("written", flush=True)
        packets, octets = map(int, sys.stdin.readline().split())
        read_counters(packets, octets)
        second_client(address, device_id, tls)
        delete()
        print("done", flush=True)
    finally:
        shell.teardown()


if __name__ == "__main__":
    main()
