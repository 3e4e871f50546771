//! Calls over the wire, with as little work on this side as there can be.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::utils::batches_to_flight_data;
use arrow_flight::{FlightData, FlightDescriptor};
use serde_json::json;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};
use vivarium_proto::udfproto::ApplyUdfResourceRequest;
use vivarium_proto::udfproto::udf_service_client::UdfServiceClient;

pub(crate) type Headers = Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>;

pub(crate) async fn connect(endpoint: &str) -> Channel {
    let endpoint = Channel::from_shared(endpoint.to_owned()).expect("an endpoint");
    endpoint.tcp_nodelay(true).connect().await.expect("the server listens")
}

/// Provisions a function of two 64-bit integers; what calls of it must carry.
pub(crate) async fn provision(
    endpoint: &str,
    tenant: &str,
    handler: &str,
    result_type: &str,
    code: &str,
) -> Result<Headers, Status> {
    let spec = json!({
        "version": 1, "kind": "udf", "language": "python", "handler": handler,
        "input_types": ["BIGINT NULL", "BIGINT NULL"], "result_type": result_type,
        "imports": [], "packages": [], "runtime_version": "3.13", "code": code
    });
    let headers = apply(connect(endpoint).await, tenant, &spec.to_string()).await?;
    let header = |(name, value): (String, String)| {
        let name = MetadataKey::from_bytes(name.as_bytes()).expect("a header's name");
        (name, value.parse().expect("a header's value"))
    };
    Ok(headers.into_iter().map(header).collect())
}

pub(crate) async fn apply(
    channel: Channel,
    tenant: &str,
    spec: &str,
) -> Result<Vec<(String, String)>, Status> {
    let mut request = Request::new(ApplyUdfResourceRequest { spec: spec.to_owned(), imports: Vec::new() });
    request.metadata_mut().insert("x-databend-tenant", tenant.parse().expect("a tenant's name"));
    let answer = UdfServiceClient::new(channel).apply_udf_resource(request).await?;
    Ok(answer.into_inner().headers.into_iter().collect())
}

/// The messages of batches of two columns, each of one row, with the descriptor in the first.
pub(crate) fn messages(handler: &str, rows: &[(i64, i64)]) -> Vec<FlightData> {
    let field = |name| Field::new(name, DataType::Int64, true);
    let schema = Schema::new(vec![field("arg1"), field("arg2")]);
    let column = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
    let batch = |(a, b): &(i64, i64)| {
        RecordBatch::try_new(Arc::new(schema.clone()), vec![column(*a), column(*b)]).expect("two columns")
    };
    let batches: Vec<_> = rows.iter().map(batch).collect();
    let mut messages = batches_to_flight_data(&schema, batches).expect("batches can be encoded");
    if let Some(first) = messages.first_mut() {
        first.flight_descriptor = Some(FlightDescriptor::new_path(vec![handler.to_owned()]));
    }
    messages
}

/// The exchange's request.
pub(crate) fn request<T>(headers: &Headers, messages: T) -> Request<T> {
    let mut request = Request::new(messages);
    for (name, value) in headers {
        request.metadata_mut().insert(name.clone(), value.clone());
    }
    request
}

/// Opens an exchange over these messages.
pub(crate) async fn open(
    channel: &Channel,
    headers: &Headers,
    messages: Vec<FlightData>,
) -> Result<tonic::Streaming<FlightData>, Status> {
    let mut client = FlightServiceClient::new(channel.clone());
    Ok(client.do_exchange(request(headers, futures::stream::iter(messages))).await?.into_inner())
}

/// Runs an exchange to its end.
pub(crate) async fn call(
    channel: &Channel,
    headers: &Headers,
    messages: Vec<FlightData>,
) -> Result<Vec<FlightData>, Status> {
    let mut answers = open(channel, headers, messages).await?;
    let mut received = Vec::new();
    while let Some(answer) = answers.message().await? {
        received.push(answer);
    }
    Ok(received)
}

/// The value of an answer that is one 64-bit integer.
pub(crate) fn first_value(answers: &[FlightData]) -> Option<i64> {
    use arrow_flight::decode::FlightRecordBatchStream;
    use futures::TryStreamExt as _;
    let messages: Vec<_> = answers.iter().cloned().map(Ok).collect();
    let batches = FlightRecordBatchStream::new_from_flight_data(futures::stream::iter(messages));
    let batches: Vec<RecordBatch> = futures::executor::block_on(batches.try_collect()).ok()?;
    let column = batches.first()?.column(0).as_any().downcast_ref::<Int64Array>()?;
    (batches.len() == 1 && column.len() == 1).then(|| column.value(0))
}
