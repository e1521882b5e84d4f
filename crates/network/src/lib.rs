//! Floor 4: the pod network
