//! Packets between controller and dataplane, with what goes along (specification 1.4, section 16.1).

use crate::entry::{EntryError, Scalar, scalar, to_bytes};
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

/// A packet that the dataplane is to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketOut {
    /// Where it goes out.
    pub egress_port: PortIndex,
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
        let reserved = one(metadata::packet_out::RESERVED, 0);
        v1::PacketOut {
            payload: self.frame,
            metadata: vec![port, reserved],
        }
    }

    /// From a message.
    ///
    /// # Errors
    /// If its metadata are not our program's.
    pub fn decode(given: v1::PacketOut) -> Result<Self, EntryError> {
        const PLACE: &str = "packet_out";
        use metadata::packet_out::{EGRESS_PORT, RESERVED};
        check(PLACE, &[EGRESS_PORT, RESERVED], &given.metadata)?;
        let egress_port = get(PLACE, EGRESS_PORT, &given.metadata)?;
        get::<u16>(PLACE, RESERVED, &given.metadata)?;
        Ok(Self {
            egress_port,
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
        let packet = PacketOut {
            egress_port: PortIndex(3),
            frame: vec![1, 2, 3],
        };
        assert_eq!(PacketOut::decode(packet.clone().encode()), Ok(packet));
    }

    #[test]
    fn metadata_must_be_exactly_the_programs() {
        let good = PacketOut {
            egress_port: PortIndex(3),
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
    }
}
