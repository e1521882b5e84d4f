//! Floor 4: cluster DNS
