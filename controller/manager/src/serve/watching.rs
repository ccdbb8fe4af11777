//! The stream of changes, with buffers of its size.
//!
//! Problem: the generated server gives a stream 8 KiB to encode into for as long as it lasts, and ten thousand streams last for days with a
//! small message now and then. Idea: the same method, served with an encoder that asks for little; all other methods are short.

use super::front::MEMBER_MESSAGE;
use super::members::MembersService;
use super::streams::Updates;
use hyper::body::Incoming;
use kith_protocol::member::{Envelope, Update};
use prost::Message;
use std::convert::Infallible;
use std::future::{Ready, ready};
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http;
use tonic::server::{Grpc, ServerStreamingService};
use tonic::{Request, Response, Status};

/// Octets that most updates fit into; a longer one gets its room when it comes.
const BUFFER: usize = 256;
/// Octets of messages that wait already, after which they are sent.
const ENOUGH: usize = 16 * 1024;

/// Answers a request of the method `Watch`.
pub(super) async fn answer(
    service: MembersService,
    request: http::Request<Incoming>,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let mut grpc = Grpc::new(Small).apply_max_message_size_config(Some(MEMBER_MESSAGE), None);
    Ok(grpc.server_streaming(Watch(service), request).await)
}

struct Watch(MembersService);

impl ServerStreamingService<Envelope> for Watch {
    type Response = Update;
    type ResponseStream = Updates<Update>;
    type Future = Ready<Result<Response<Updates<Update>>, Status>>;

    fn call(&mut self, request: Request<Envelope>) -> Self::Future {
        ready(self.0.begin_watch(request))
    }
}

/// Protobuf, as the generated server has it, but for the buffers.
struct Small;

impl Codec for Small {
    type Encode = Update;
    type Decode = Envelope;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Small {
    type Item = Update;
    type Error = Status;

    fn encode(&mut self, update: Update, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        update
            .encode(to)
            .map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, ENOUGH)
    }
}

impl Decoder for Small {
    type Item = Envelope;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Envelope>, Status> {
        Envelope::decode(from)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
