//! Wire contracts, compiled from the `.proto` files of this room. Nothing else lives here.

/// Databend's provisioning contract, RFC generation (`udfproto.UdfService`).
pub mod udfproto {
    #![expect(clippy::allow_attributes, reason = "generated code")]

    tonic::include_proto!("udfproto");
}

/// Databend's provisioning contracts of today (`resourceproto.WorkerService`) and in between
/// (`resourceproto.ResourceService`).
pub mod resourceproto {
    #![expect(clippy::allow_attributes, reason = "generated code")]

    tonic::include_proto!("resourceproto");
}
