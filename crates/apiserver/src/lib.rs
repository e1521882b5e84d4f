//! Floor 4: the API server
