//! Floor 4: the service proxy
