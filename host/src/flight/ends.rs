//! The two ends of an exchange, each a task of its own: messages to batches, answers to messages.
//!
//! While a worker runs one batch, the next is decoded here and the last result encoded.

use std::time::Duration;

use arrow::array::{Array as _, RecordBatch};
use arrow::error::ArrowError;
use arrow_flight::FlightData;
use tokio::sync::mpsc;
use tonic::Streaming;

use super::exchange::{ExchangeError, Input, Results};
use super::input::{InputDecoder, InputError};
use super::output::{Answer, ResultEncoder};

/// Work on more bytes than this is not done on a thread that serves connections.
const LARGE_BYTES: usize = 4 << 20;

/// Reads and decodes messages, from the first one on, until the client ends the stream, an error
/// comes, or nobody wants them any more.
pub(super) async fn read(
    first: FlightData,
    messages: Streaming<FlightData>,
    decoder: InputDecoder,
    inputs: mpsc::Sender<Result<Input, ExchangeError>>,
) {
    let last = match read_all(first, messages, decoder, &inputs).await {
        Ok(()) => Ok(Input::End),
        Err(error) => Err(error),
    };
    // Fails when nobody wants it.
    let _ = inputs.send(last).await;
}

async fn read_all(
    first: FlightData,
    mut messages: Streaming<FlightData>,
    mut decoder: InputDecoder,
    inputs: &mpsc::Sender<Result<Input, ExchangeError>>,
) -> Result<(), ExchangeError> {
    let mut next = Some(first);
    let mut announced = false;
    while let Some(message) = next {
        let batch;
        (decoder, batch) = decode(decoder, message).await?;
        let input = match (batch, decoder.schema()) {
            (Some(batch), _) => Some(Input::Batch(batch)),
            (None, Some(schema)) if !announced => {
                announced = true;
                Some(Input::Schema(schema))
            }
            _ => None,
        };
        if let Some(input) = input {
            inputs.send(Ok(input)).await.map_err(|_| ExchangeError::Gone)?;
        }
        next = messages.message().await.map_err(ExchangeError::Client)?;
    }
    Ok(())
}

async fn decode(
    mut decoder: InputDecoder,
    message: FlightData,
) -> Result<(InputDecoder, Option<RecordBatch>), ExchangeError> {
    let bytes = message.data_body.len();
    let work = move || {
        let batch = decoder.decode(&message)?;
        Ok::<_, InputError>((decoder, batch))
    };
    Ok(off_network(bytes, work).await??)
}

/// Encodes answers and hands them to the connection, until there are no more.
pub(super) async fn write(
    mut answers: mpsc::Receiver<Answer>,
    mut encoder: ResultEncoder,
    results: Results,
    idle: Duration,
) -> Result<(), ExchangeError> {
    while let Some(answer) = answers.recv().await {
        let columns = answer.columns.iter().flatten();
        let bytes = columns.map(|column| column.get_array_memory_size()).sum();
        let work = move || {
            let message = encoder.batch(answer)?;
            Ok::<_, ArrowError>((encoder, message))
        };
        let message;
        (encoder, message) = off_network(bytes, work).await??;
        send(&results, message, idle).await?;
    }
    Ok(())
}

/// Hands a message to the connection.
pub(super) async fn send(
    results: &Results,
    message: FlightData,
    idle: Duration,
) -> Result<(), ExchangeError> {
    match tokio::time::timeout(idle, results.send(Ok(message))).await {
        Ok(sent) => sent.map_err(|_| ExchangeError::Gone),
        Err(_) => Err(ExchangeError::Idle { limit_s: idle.as_secs() }),
    }
}

/// Does work on `bytes` bytes: at once, or on another thread if it takes long.
async fn off_network<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ExchangeError> {
    if bytes < LARGE_BYTES {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| ExchangeError::Lost)
}
