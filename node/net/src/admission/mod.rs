//! Admission: how much of this node others may use up, and in which order they are served (ARCHITECTURE 6).
//!
//! [`source`] says who is asking: a member of the network, or a stranger from some network of addresses. [`quota`]
//! bounds what each may hold, [`fair`] orders what waits, and [`requests`] is the way of a request, class by class,
//! from the network to its server. All of it is the same for a real and a simulated network.

pub mod fair;
pub mod quota;
pub mod requests;
pub mod source;

pub use quota::{Exceeded, Held, Limits, Quota};
pub use requests::{Intake, Requests, request_queues};
pub(crate) use source::ip_of;
pub use source::{Prefix, Source, Standing};
