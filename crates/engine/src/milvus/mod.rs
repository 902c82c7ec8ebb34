//! What Milvus's coordinators agree on in etcd: role names, keys, records, the version rule.
//!
//! Pure: it says what the bytes are and what they mean, never when to read or write them. An old coordinator
//! that runs Milvus's own Go code reads what is written here, and one unreadable record under a role makes
//! its whole look-up fail; so whatever could produce one is refused before it is encoded.

mod asked;
mod candidate;
mod encode;
mod incarnation;
mod keys;
mod meaning;
mod places;
mod record;
mod relay;
mod role;
mod version;

pub use asked::{Asked, Asks, Reply};
pub use candidate::{Candidate, CandidateError, IndexVersions, IndexVersionsError};
pub use encode::{Facts, encode};
pub use incarnation::{Incarnation, Process};
pub use keys::{Claimed, IdError, Keys, Layout, LayoutError, Root, RootError};
pub use meaning::Meaning;
pub use places::Places;
pub use record::{Record, RecordError};
pub use relay::{as_lock, with_offer, with_reply, with_request, without_request};
pub use role::{Role, RoleError};
pub use version::{VersionError, may_lead, version_value};
