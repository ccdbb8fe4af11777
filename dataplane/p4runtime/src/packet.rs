//! Packets between controller and dataplane, with what goes along (specification 1.4, section 16.1).

use crate::entry::{EntryError, Scalar, ValueError, scalar, to_bytes};
use crate::ids::{Field, metadata};
use crate::proto::v1::{self, PacketMetadata};
use kith_pipeline::units::PortIndex;

/// A packet that the dataplane hands up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketIn {
    /// Where it came in.
    pub ingress_port: PortIndex,
    /// The number of a `PuntReason`.
    pub reason: u16,
    /// The whole frame, as received.
    pub frame: Vec<u8>,
}

/// What becomes of a packet of the controller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PacketOutMode {
    /// It leaves by the port, as it is.
    #[default]
    Send,
    /// Tables `route` and `neighbor` say by which port it leaves and to which station; both stations are filled in. An IPv4 packet; the
    /// port is 0. One whose neighbour is not known waits for it, as others do.
    Routed,
    /// It goes through the pipeline as if it had come in by the port.
    Submit,
}

/// A packet that the dataplane is to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketOut {
    /// Where it goes out, or comes in; 0 for one that is routed.
    pub egress_port: PortIndex,
    /// What becomes of it.
    pub mode: PacketOutMode,
    /// The whole frame, as it is to be sent.
    pub frame: Vec<u8>,
}

impl PacketIn {
    /// As a message.
    #[must_use]
    pub fn encode(self) -> v1::PacketIn {
        let port = one(metadata::packet_in::INGRESS_PORT, self.ingress_port.to_number());
        let reason = one(metadata::packet_in::REASON, self.reason.into());
        v1::PacketIn {
            payload: self.frame,
            metadata: vec![port, reason],
        }
    }

    /// From a message.
    ///
    /// # Errors
    /// If its metadata are not our program's.
    pub fn decode(given: v1::PacketIn) -> Result<Self, EntryError> {
        const PLACE: &str = "packet_in";
        use metadata::packet_in::{INGRESS_PORT, REASON};
        check(PLACE, &[INGRESS_PORT, REASON], &given.metadata)?;
        let ingress_port = get(PLACE, INGRESS_PORT, &given.metadata)?;
        let reason = get(PLACE, REASON, &given.metadata)?;
        Ok(Self {
            ingress_port,
            reason,
            frame: given.payload,
        })
    }
}

impl PacketOut {
    /// As a message.
    #[must_use]
    pub fn encode(self) -> v1::PacketOut {
        let port = one(metadata::packet_out::EGRESS_PORT, self.egress_port.to_number());
        let mode = one(metadata::packet_out::MODE, self.mode as u64);
        v1::PacketOut {
            payload: self.frame,
            metadata: vec![port, mode],
        }
    }

    /// From a message.
    ///
    /// # Errors
    /// If its metadata are not our program's.
    pub fn decode(given: v1::PacketOut) -> Result<Self, EntryError> {
        const PLACE: &str = "packet_out";
        use metadata::packet_out::{EGRESS_PORT, MODE};
        check(PLACE, &[EGRESS_PORT, MODE], &given.metadata)?;
        let egress_port = get(PLACE, EGRESS_PORT, &given.metadata)?;
        let mode = match get::<u16>(PLACE, MODE, &given.metadata)? {
            0 => PacketOutMode::Send,
            1 => PacketOutMode::Routed,
            2 => PacketOutMode::Submit,
            other => {
                let problem = ValueError::Meaningless {
                    value: other.into(),
                    expected: "0 (sent), 1 (routed) or 2 (submitted)",
                };
                return Err(EntryError::Value {
                    place: PLACE,
                    field: MODE.name,
                    problem,
                });
            }
        };
        if mode == PacketOutMode::Routed && egress_port != PortIndex(0) {
            let what = "a routed packet names no port: the table route does; leave egress_port 0";
            return Err(EntryError::Invalid { place: PLACE, what });
        }
        Ok(Self {
            egress_port,
            mode,
            frame: given.payload,
        })
    }
}

fn one(field: Field, number: u64) -> PacketMetadata {
    PacketMetadata {
        metadata_id: field.id,
        value: to_bytes(number),
    }
}

fn get<T: Scalar>(place: &'static str, field: Field, given: &[PacketMetadata]) -> Result<T, EntryError> {
    let found = given.iter().find(|one| one.metadata_id == field.id);
    let found = found.ok_or(EntryError::Missing {
        place,
        field: field.name,
    })?;
    scalar(place, field, &found.value)
}

fn check(place: &'static str, fields: &[Field], given: &[PacketMetadata]) -> Result<(), EntryError> {
    for (index, one) in given.iter().enumerate() {
        let Some(field) = fields.iter().find(|field| field.id == one.metadata_id) else {
            return Err(EntryError::UnknownMetadata {
                place,
                id: one.metadata_id,
            });
        };
        if given[..index]
            .iter()
            .any(|before| before.metadata_id == one.metadata_id)
        {
            return Err(EntryError::Repeated {
                place,
                field: field.name,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back_as_they_were_sent() {
        let packet = PacketIn {
            ingress_port: PortIndex(3),
            reason: 260,
            frame: vec![1, 2, 3],
        };
        assert_eq!(PacketIn::decode(packet.clone().encode()), Ok(packet));
        for (port, mode) in [
            (3, PacketOutMode::Send),
            (0, PacketOutMode::Routed),
            (3, PacketOutMode::Submit),
        ] {
            let packet = PacketOut {
                egress_port: PortIndex(port),
                mode,
                frame: vec![1, 2, 3],
            };
            assert_eq!(PacketOut::decode(packet.clone().encode()), Ok(packet));
        }
    }

    #[test]
    fn metadata_must_be_exactly_the_programs() {
        let good = PacketOut {
            egress_port: PortIndex(3),
            mode: PacketOutMode::Send,
            frame: vec![0; 64],
        }
        .encode();
        let with = |change: fn(&mut Vec<PacketMetadata>)| {
            let mut packet = good.clone();
            change(&mut packet.metadata);
            PacketOut::decode(packet).unwrap_err().code()
        };
        use tonic::Code;
        assert_eq!(
            with(|all| all.truncate(1)),
            Code::InvalidArgument,
            "one is missing"
        );
        assert_eq!(
            with(|all| all.push(all[0].clone())),
            Code::InvalidArgument,
            "one is there twice"
        );
        assert_eq!(
            with(|all| all[1].metadata_id = 7),
            Code::InvalidArgument,
            "one is unknown"
        );
        assert_eq!(
            with(|all| all[0].value = vec![1, 0, 0]),
            Code::OutOfRange,
            "wider than 16 bits"
        );
        assert_eq!(
            with(|all| all[0].value = vec![1, 0]),
            Code::OutOfRange,
            "no such port"
        );
        assert_eq!(
            with(|all| all[1].value = vec![3]),
            Code::OutOfRange,
            "no such mode"
        );
        assert_eq!(
            with(|all| all[1].value = vec![1]),
            Code::InvalidArgument,
            "routed, with a port"
        );
    }
}
